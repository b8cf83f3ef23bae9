import DataParallel
import Foundation
import Kernels
import LanguageModels
import StateExpansion
import TensorStorage

/// What a recipe would do, computed without reading weights, allocating or writing anything.
public struct TrainingPlan: CustomStringConvertible {
  /// One line of the plan: what, and how much.
  public struct Item: Sendable {
    /// What the number is.
    public var name: String
    /// The number, for people.
    public var value: String
  }

  /// The plan, in sections.
  public let sections: [(title: String, items: [Item])]
  /// What the expansion would do.
  public let expansion: ExpansionReport?

  /// Plans `recipe` on `ranks` ranks; the largest rank's memory is shown.
  ///
  /// - Throws: what would stop the run: a recipe that does not fit, data that cannot be opened.
  public init(_ recipe: Recipe, ranks: Int) throws {
    try TrainingRun.checkSupported(recipe, ranks: ranks)
    let run = try RunModel(recipe)
    let data = try RunData(recipe, model: run)
    let model = LanguageModel(run.configuration)
    expansion = run.expansion
    sections = [
      ("model", Self.modelItems(model, run)),
      ("training", Self.trainingItems(recipe, model, data, ranks: ranks)),
      ("memory of a rank", Self.memoryItems(recipe, model, ranks: ranks)),
      ("files", Self.fileItems(recipe, model, ranks: ranks)),
    ]
  }

  private static func modelItems(_ model: LanguageModel, _ run: RunModel) -> [Item] {
    [
      Item(name: "family", value: run.configuration.family.rawValue),
      Item(name: "layers", value: String(run.configuration.layers.count)),
      Item(name: "parameters", value: count(model.layout.parameterCount)),
      Item(
        name: "recurrent state", value: count(run.configuration.recurrentStateCount) + " numbers"),
    ]
  }

  private static func trainingItems(
    _ recipe: Recipe, _ model: LanguageModel, _ data: RunData, ranks: Int
  ) -> [Item] {
    let tokens = recipe.train.sequencesPerStep * recipe.data.sequenceLength
    let length = recipe.data.sequenceLength
    let segments =
      (length + recipe.train.segmentLength - 1) / min(recipe.train.segmentLength, length)
    // Backward is twice forward; with segments, the blocks of all but the last run forward twice.
    let head = 2 * model.width * model.vocabulary
    let again = segments > 1 ? (model.forwardFLOPsPerToken - head) * (segments - 1) / segments : 0
    var items = [
      Item(
        name: "precision on this machine",
        value: RunPrecision(recipe.train.precision).products.description),
      Item(name: "steps", value: String(recipe.train.steps)),
      Item(name: "tokens a step", value: count(tokens)),
      Item(name: "tokens altogether", value: count(tokens * recipe.train.steps)),
      Item(
        name: "ranks x micro-batches",
        value: "\(ranks) x \((recipe.train.microBatches + ranks - 1) / ranks)"),
      Item(name: "segments a sequence", value: String(segments)),
      Item(
        name: "FLOPs a token",
        value: count(model.trainingFLOPsPerToken)
          + (again > 0 ? " + \(count(again)) to recompute segments" : "")),
    ]
    for (index, source) in data.stream.sources.enumerated() {
      let samples = source.samples.sampleCount.map { "\($0) samples" } ?? "endless"
      items.append(
        Item(name: "data.sources.\(index)", value: "weight \(source.weight), \(samples)"))
    }
    return items
  }

  private static func memoryItems(
    _ recipe: Recipe, _ model: LanguageModel, ranks: Int
  ) -> [Item] {
    let count = model.layout.count
    let tree = ReductionTree(leaves: recipe.train.microBatches, ranks: ranks)
    let reducer =
      (0..<ranks).map {
        GradientReducer.memory(
          count: count, tree: tree, rank: $0, reproducible: recipe.parallel.isReproducible)
      }.max() ?? 0
    let pass = SequencePass.memory(
      model, batch: recipe.train.microBatch, length: recipe.data.sequenceLength,
      segmentLength: recipe.train.segmentLength)
    let leaves = (recipe.train.microBatches + ranks - 1) / ranks
    let samples = leaves * recipe.train.microBatch * recipe.data.sequenceLength * 3
    let parts =
      [
        ("parameters", count), ("gradients and their exchange", reducer),
        ("optimizer moments", 2 * count), ("activations of a segment", pass.activations),
        ("recurrent states", pass.states), ("samples", samples),
      ] + convertedParts(recipe, model)
    let total = parts.reduce(0) { $0 + $1.1 }
    return (parts + [("total", total)]).map { Item(name: $0.0, value: bytes(4 * $0.1)) }
  }

  /// What bf16 products hold, if this machine would use them.
  private static func convertedParts(_ recipe: Recipe, _ model: LanguageModel) -> [(String, Int)] {
    guard case .bf16(let backEnd) = RunPrecision(recipe.train.precision).products else { return [] }
    let memory = BFloat16Products.memory(
      backEnd, parameterCount: model.layout.count, operandCount: recipe.largestOperandCount(model))
    return [
      ("weights converted to bf16", memory.mirror),
      ("operands converted to bf16", memory.operands),
    ]
  }

  private static func fileItems(_ recipe: Recipe, _ model: LanguageModel, ranks: Int) -> [Item] {
    let checkpoint = 12 * model.layout.parameterCount
    return [
      Item(
        name: "a checkpoint",
        value: "at most \(bytes(checkpoint)) in \(ranks) shard\(ranks == 1 ? "" : "s"), "
          + "\(recipe.checkpoint.keep) kept in \(recipe.run.output)/checkpoints"),
      Item(
        name: "the export",
        value: "\(bytes(4 * model.layout.parameterCount)) in "
          + "\(recipe.run.output)/export"),
    ]
  }

  /// A count with a short form where it is large: `1,365,514,240 (1.37 G)`.
  private static func count(_ value: Int) -> String {
    let digits = String(value)
    guard digits.count > 4 else { return digits }
    var grouped = ""
    for (index, digit) in digits.enumerated() {
      if index > 0 && (digits.count - index) % 3 == 0 { grouped += "," }
      grouped.append(digit)
    }
    let units: [(Double, String)] = [(1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k")]
    guard let (size, unit) = units.first(where: { Double(value) >= $0.0 }) else { return grouped }
    return grouped + String(format: " (%.2f %@)", Double(value) / size, unit)
  }

  private static func bytes(_ value: Int) -> String {
    let units: [(Double, String)] = [(1e9, "GB"), (1e6, "MB"), (1e3, "kB")]
    guard let (size, unit) = units.first(where: { Double(value) >= $0.0 }) else {
      return "\(value) B"
    }
    return String(format: "%.2f %@", Double(value) / size, unit)
  }

  /// The plan as a table.
  public var description: String {
    let width = sections.flatMap(\.items).map(\.name.count).max() ?? 0
    var text = ""
    for (title, items) in sections {
      text += title + "\n"
      for item in items {
        let padding = String(repeating: " ", count: width - item.name.count)
        text += "  \(item.name)\(padding)  \(item.value)\n"
      }
      if title == "model", let expansion { text += "\(expansion)\n" }
    }
    return text + "nothing was written"
  }
}
