import ArgumentParser

/// `statex data`: token files.
struct DataCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "data", abstract: "Create and inspect token files.",
    subcommands: [Tokenize.self, Inspect.self, Make.self])
}
