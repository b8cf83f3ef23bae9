import Files
import Foundation
import HuggingFaceInterop
import JSON
import StateExpansion

/// The model card of a run's export: what the recipe did to which model, and what was measured.
struct RunCard {
  /// The card.
  let card: ModelCard

  /// Reads the run's metrics and evaluations.
  ///
  /// - Parameters:
  ///   - recipe: what was run.
  ///   - model: what it started from; the facts of its own card come first.
  ///   - step: steps done.
  /// - Throws: `.io` when one of them cannot be read.
  init(_ recipe: Recipe, model: RunModel, step: Int) throws(FileError) {
    var card = model.directory.flatMap { ModelCard(directory: $0) } ?? ModelCard()
    let origin = model.directory.map { URL(fileURLWithPath: $0).lastPathComponent }
    card.add("made from", origin ?? "scratch, with the recipe's model.config")
    if let plan = model.plan {
      card.add("expansion", plan.summary(layerCount: model.configuration.layers.count))
    }
    card.add("training", Self.training(recipe, step: step))
    card.add("data", recipe.data.sources.map(Self.text).joined(separator: "; "))
    let losses = try Self.rows(recipe.run.output + "/metrics.jsonl")
    if let text = Self.change(losses, of: { $0["loss"]?.double }) {
      card.add("training loss", text + " nats a token")
    }
    let evaluations = try Self.rows(recipe.run.output + "/evaluation.jsonl")
    if let text = Self.change(evaluations, of: { $0["perplexity"]?["nll"]?.double }) {
      card.add("loss on held-out text", text + " nats a token")
    }
    if case .object(let tasks)? = evaluations.last?["tasks"] {
      for task in tasks {
        guard case .object(let members) = task.value, let metric = members.first?.name,
          let text = Self.change(evaluations, of: { $0["tasks"]?[task.name]?[metric]?.double })
        else { continue }
        card.add("\(task.name) \(metric)", text)
      }
    }
    card.recipe = recipe.resolvedYAML()
    self.card = card
  }

  private static func training(_ recipe: Recipe, step: Int) -> String {
    let tokens = recipe.train.sequencesPerStep * recipe.data.sequenceLength
    let what = recipe.train.trainable == .expanded ? ", expanded layers only" : ""
    return "\(step) steps of \(tokens) tokens, \(step * tokens) in all, in sequences of"
      + " \(recipe.data.sequenceLength)\(what)"
  }

  private static func text(_ source: Recipe.Source) -> String {
    switch source.kind {
    case .tokens(let stored):
      "\(stored.standardName) (weight \(source.weight))"
    case .text(let text):
      "\(text.standardName) (weight \(source.weight))"
    case .task(let task): "task \(task.name) (weight \(source.weight))"
    }
  }

  /// `2.3456 at step 1, 1.2345 at step 100`, or one of the two; nil without a row that has the value.
  private static func change(_ rows: [JSONValue], of value: (JSONValue) -> Double?) -> String? {
    let measured = rows.compactMap { row -> (step: Int, value: Double)? in
      guard let step = row["step"]?.integer(), let value = value(row) else { return nil }
      return (step, value)
    }
    guard let first = measured.first, let last = measured.last else { return nil }
    return (first.step == last.step ? [last] : [first, last])
      .map { String(format: "%.4f at step %d", $0.value, $0.step) }.joined(separator: ", ")
  }

  /// The rows of a file of JSON lines; those that do not parse are left out.
  private static func rows(_ path: String) throws(FileError) -> [JSONValue] {
    guard let data = try InputFile.contentsIfPresent(of: path) else { return [] }
    return data.split(separator: UInt8(ascii: "\n")).compactMap { line in
      Array(line).withUnsafeBytes { try? JSONValue(parsing: $0, source: path) }
    }
  }
}
