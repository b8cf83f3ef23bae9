import ArgumentParser
import ErrorReporting

/// What is wrong with a command's arguments, on one line.
///
/// A misspelt option comes first: the parser may stop at something that follows from it, such as another
/// option that it then misses.
///
/// - Parameters:
///   - error: what the parser threw.
///   - command: the program's command, whose subcommands are looked up.
///   - arguments: the program's arguments.
/// - Returns: the line, with the exit code of wrong usage.
public func argumentFailure(
  _ error: any Error, of command: any ParsableCommand.Type, _ arguments: [String]
) -> FailureReport {
  let line = unknownOption(arguments, of: command) ?? command.message(for: error)
  return FailureReport(exitCode: 64, line: line)
}

/// Says which long option a command does not have, and which one may be meant; nil if it has all.
private func unknownOption(
  _ arguments: [String], of root: any ParsableCommand.Type
) -> String? {
  var command = root
  for name in arguments {
    let next = command.configuration.subcommands.first { $0.configuration.commandName == name }
    guard let next else { break }
    command = next
  }
  let known = root.helpMessage(for: command, includeHidden: true)
    .matches(of: /--[a-z][a-z0-9-]*/).map { String($0.output) }
  let given = arguments.prefix { $0 != "--" }.filter { $0.hasPrefix("--") }
    .map { String($0.prefix { $0 != "=" }) }
  guard let unknown = given.first(where: { !known.contains($0) }) else { return nil }
  let hint = nearestName(to: unknown, among: known).map { ". Did you mean '\($0)'?" } ?? ""
  return "Unknown option '\(unknown)'\(hint)"
}
