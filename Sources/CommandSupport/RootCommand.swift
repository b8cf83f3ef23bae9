import ArgumentParser
import ErrorReporting
import Foundation

/// Parses the process's arguments, runs the command they name, and exits.
///
/// Help and version go to stdout with code 0. An error becomes one line `error: ...` on stderr; wrong
/// arguments have code 64. A thrown `ExitCode` is the exit code and says nothing.
public func runAsRoot<Command: ParsableCommand>(
  _ command: Command.Type, arguments: [String]? = nil
) -> Never {
  SystemResources.whenExhausted = { fail(FailureReport(exitCode: 74, line: $0)) }
  do {
    var parsed = try Command.parseAsRoot(arguments)
    try parsed.run()
    guard fflush(nil) == 0 else { fail(FailureReport(CommandError.output(errno))) }
    exit(0)
  } catch let code as ExitCode {
    fflush(nil)
    exit(code.rawValue)
  } catch let error as any UserFacingError {
    fail(FailureReport(error))
  } catch {
    switch Command.exitCode(for: error) {
    case .success:
      print(Command.fullMessage(for: error))
      exit(0)
    case .validationFailure:
      // Every rank of a launcher has the same arguments.
      if launcherRank ?? 0 > 0 { exit(64) }
      fail(
        argumentFailure(
          error, of: Command.self, arguments ?? Array(CommandLine.arguments.dropFirst())))
    default:
      fail(FailureReport(error))
    }
  }
}

/// Writes a line `warning: ...` on stderr for each of the texts.
///
/// - Parameter texts: of one line each.
public func warn(_ texts: [String]) {
  for text in texts { warn(text) }
}

/// Writes the error's line to stderr and exits with its code.
public func fail(_ failure: FailureReport) -> Never {
  fflush(nil)
  StandardError.write("error: \(failure.line)\n")
  exit(failure.exitCode)
}

/// Writes a warning's line to stderr, if that can be written.
public func warn(_ text: String) {
  StandardError.write("warning: \(singleLine(text))\n")
}
