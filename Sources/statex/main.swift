import CommandSupport

var arguments = Array(CommandLine.arguments.dropFirst())
// A recipe is no command, but its keys are what one asks `help` about.
if arguments.starts(with: ["help", "recipe"]) { arguments.removeFirst() }
runAsRoot(Statex.self, arguments: arguments)
