import ArgumentParser
import Foundation

/// The exit code of an error and the one line that tells a user about it, without `error: `.
///
/// Errors that no room classifies are internal (70), except those of Foundation's file functions (74).
public func commandFailure(of error: any Error) -> (code: Int32, line: String) {
  switch error {
  case let error as any ClassifiedError:
    (error.exitCode, oneLine(error.description))
  case let error as ValidationError:
    (64, oneLine(error.message))
  case let error as CocoaError:
    (74, oneLine(error.localizedDescription))
  case let error as any CustomStringConvertible:
    (70, oneLine("internal error: \(error.description)"))
  default:
    (70, oneLine("internal error: \(error)"))
  }
}

/// Parses the process's arguments, runs the command they name, and exits.
///
/// Help and version go to stdout with code 0. An error becomes one line `error: ...` on stderr; wrong
/// arguments have code 64. A thrown `ExitCode` is the exit code and says nothing.
public func runAsRoot<Command: ParsableCommand>(
  _ command: Command.Type, arguments: [String]? = nil
) -> Never {
  do {
    var parsed = try Command.parseAsRoot(arguments)
    try parsed.run()
    guard fflush(nil) == 0 else {
      fail((74, "cannot write to standard output: \(String(cString: strerror(errno)))"))
    }
    exit(0)
  } catch let code as ExitCode {
    fflush(nil)
    exit(code.rawValue)
  } catch let error as any ClassifiedError {
    fail(commandFailure(of: error))
  } catch {
    switch Command.exitCode(for: error) {
    case .success:
      print(Command.fullMessage(for: error))
      exit(0)
    case .validationFailure:
      fail((64, oneLine(Command.message(for: error))))
    default:
      fail(commandFailure(of: error))
    }
  }
}

/// Writes the error's line to stderr and exits with its code.
public func fail(_ failure: (code: Int32, line: String)) -> Never {
  fflush(nil)
  let text = Array("error: \(failure.line)\n".utf8)
  _ = write(STDERR_FILENO, text, text.count)
  exit(failure.code)
}

/// The text with its line breaks turned into spaces.
public func oneLine(_ text: String) -> String {
  text.split(whereSeparator: \.isNewline).map { $0.trimmingCharacters(in: .whitespaces) }
    .joined(separator: " ")
}
