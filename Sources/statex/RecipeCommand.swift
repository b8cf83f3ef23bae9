import ArgumentParser
import CommandSupport
import Training

/// `statex recipe`, also `statex help recipe`: what the keys of a recipe are.
struct RecipeCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "recipe", abstract: "Describe the keys of a recipe.",
    discussion:
      "With a key, such as train.optimizer or data.sources.0.loss, that key and those below it.")

  @Argument(help: "A dotted key (default: all).")
  var key: String?

  func run() throws {
    let found = Recipe.help(on: key ?? "")
    guard let text = found.text else {
      let hint = found.nearest.map { "; did you mean `\($0)`?" } ?? ""
      throw CommandError.usage("a recipe has no key `\(key ?? "")`\(hint)")
    }
    print(text)
  }
}
