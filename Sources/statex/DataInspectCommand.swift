import ArgumentParser
import CommandSupport

extension DataCommand {
  /// `statex data inspect`: what a token file holds.
  struct Inspect: ParsableCommand {
    static let configuration = CommandConfiguration(
      commandName: "inspect", abstract: "Show a Megatron token file's size and first tokens.")

    @Argument(help: "PREFIX of PREFIX.bin and PREFIX.idx.")
    var prefix: String

    @Flag(help: "Print JSON.")
    var json = false

    func run() throws {
      let description = try PathDescription.tokens(prefix)
      if json {
        printJSON(description.json)
      } else {
        print(description.text)
      }
    }
  }
}
