import Foundation
import Testing
import Training

@Suite struct RecipeTablesTests {
  private static let page =
    URL(fileURLWithPath: #filePath).deletingLastPathComponent()
    .deletingLastPathComponent().deletingLastPathComponent().path + "/docs/recipe.md"

  /// The tables of docs/recipe.md stand between `<!-- keys: NAME -->` and `<!-- end -->`;
  /// `STATEX_WRITE_TABLES=1` writes them anew.
  @Test func theTablesOfTheRecipesPageAreThoseOfTheDecoder() throws {
    var text = try String(contentsOfFile: Self.page, encoding: .utf8)
    for (section, table) in Recipe.tables {
      let begin = "<!-- keys: \(section) -->\n"
      let start = try #require(text.range(of: begin), "no table of \(section)").upperBound
      let end = try #require(
        text.range(of: "\n<!-- end -->", range: start..<text.endIndex)
      ).lowerBound
      if ProcessInfo.processInfo.environment["STATEX_WRITE_TABLES"] != nil {
        text.replaceSubrange(start..<end, with: table)
      } else {
        #expect(
          text[start..<end] == table,
          "run the tests of RecipeTablesTests with STATEX_WRITE_TABLES=1 to write the tables anew")
      }
    }
    if ProcessInfo.processInfo.environment["STATEX_WRITE_TABLES"] != nil {
      try text.write(toFile: Self.page, atomically: true, encoding: .utf8)
    }
  }

  @Test func helpIsFoundForKeysSectionsAndElements() throws {
    let rate = try #require(Recipe.help(on: "train.optimizer.lr").text)
    #expect(
      rate == "train.optimizer.lr  (number)\n  peak learning rate\n  default: 3e-4; range: > 0")
    let optimizer = try #require(Recipe.help(on: "train.optimizer").text)
    #expect(optimizer.contains(rate) && optimizer.contains("train.optimizer.betas"))
    #expect(!optimizer.contains("train.steps"))
    #expect(try #require(Recipe.help(on: "data.sources.0.loss").text).contains("`") == false)
    #expect(try #require(Recipe.help(on: "").text).contains("metrics.log_every"))
    #expect(
      Recipe.help(on: "task.mqar.power_a").text
        == """
        task.mqar.power_a  (number)
          exponent of the query slots; zoology only
          default: 0.01; range: > 0
        """)
    let vocabularies = try #require(Recipe.help(on: "data.sources.3.vocab").text)
    #expect(
      ["mqar", "copying", "selective_copying"].allSatisfy {
        vocabularies.contains("task.\($0).vocab  (integer)")
      })
    #expect(!vocabularies.contains("markov"))
    #expect(Recipe.help(on: "task.mqar.pair").nearest == "task.mqar.pairs")
    #expect(Recipe.help(on: "data.sources.3.pairz").nearest == "data.sources.N.pairs")
    #expect(Recipe.help(on: "train.stepz").text == nil)
    #expect(Recipe.help(on: "train.stepz").nearest == "train.steps")
    #expect(Recipe.help(on: "lr").nearest == "train.optimizer.lr")
  }

  /// Every default that the tables name is the one that decoding gives.
  @Test func theDefaultsOfTheTablesAreTheDecoders() throws {
    let resolved = try Recipe.decode(
      yaml: leastRecipe,
      overrides: ["expansion={}", "evaluation.perplexity={tokens: t}"]
    ).resolvedYAML()
    for (_, keys) in Recipe.keysBySection {
      for key in keys where key.type == "flag" || key.type == "word" {
        guard key.standard == "true" || key.standard == "false" || key.standard.hasPrefix("`"),
          let name = key.path.split(separator: ".").last, !key.standard.contains(" for ")
        else { continue }
        let value = key.standard.filter { $0 != "`" }
        if resolved.contains("\(name): ") {
          #expect(resolved.contains("\(name): \(value)\n"), "\(key.path)")
        }
      }
    }
  }
}
