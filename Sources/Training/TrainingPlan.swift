import Foundation
import Kernels
import LanguageModels
import StateExpansion
import TensorStorage
import TokenData

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
  /// Why this machine cannot run it, if its memory is too small for a rank.
  public let shortage: TrainingError?

  /// Plans `recipe` on `ranks` ranks; the largest rank's memory is shown.
  ///
  /// - Throws: what would stop the run: a recipe that does not fit, data that cannot be opened.
  public init(_ recipe: Recipe, ranks: Int) throws {
    let precision = RunPrecision(recipe.train.precision).products
    let inputs = try RunInputs(recipe, ranks: ranks, precision: precision)
    let (run, memory) = (inputs.model, inputs.memory)
    let model = run.languageModel()
    expansion = run.expansion
    shortage = memory.shortage()
    sections = [
      ("model", Self.modelItems(model, run)),
      ("training", Self.trainingItems(recipe, model, memory, precision, ranks: ranks)),
      (
        "data",
        try Self.dataItems(inputs.data, reads: shortage == nil)
          + inputs.mismatches.map { Item(name: "warning", value: $0) }
      ),
      ("memory of a rank", Self.memoryItems(memory)),
      ("files", Self.fileItems(recipe, model, ranks: ranks)),
    ]
  }

  private static func modelItems(_ model: LanguageModel, _ run: RunModel) -> [Item] {
    [
      Item(name: "family", value: run.configuration.family.name),
      Item(name: "layers", value: String(run.configuration.layers.count)),
      Item(name: "parameters", value: count(model.layout.parameterCount)),
      Item(name: "trained parameters", value: count(trainedCount(model))),
      Item(
        name: "recurrent state", value: count(run.configuration.recurrentStateCount) + " numbers"),
    ] + run.warnings.map { Item(name: "warning", value: $0) }
  }

  private static func trainingItems(
    _ recipe: Recipe, _ model: LanguageModel, _ memory: TrainingMemory,
    _ precision: ProductPrecision, ranks: Int
  ) -> [Item] {
    let tokens = recipe.train.sequencesPerStep * recipe.data.sequenceLength
    let segments = recipe.segments.segmentCount
    // Backward is twice forward; with segments, the blocks of all but the last run forward twice.
    let head = 2 * model.width * model.vocabulary
    let recomputed = memory.starts - 1 + memory.storage.recomputedSegments(memory.starts)
    let again = (model.forwardFLOPsPerToken - head) * recomputed / segments
    var items = [
      Item(name: "precision on this machine", value: precision.description),
      Item(name: "steps", value: String(recipe.train.steps)),
      Item(name: "tokens a step", value: count(tokens)),
      Item(name: "tokens in total", value: count(tokens * recipe.train.steps)),
    ]
    items += Self.divisionItems(recipe, model, ranks: ranks, memory.stateSizes)
    items += [
      Item(
        name: "FLOPs a token",
        value: count(model.trainingFLOPsPerToken)
          + (again > 0 ? " + \(count(again)) to recompute segments" : ""))
    ]
    return items
  }

  /// How ranks divide micro-batches and segments.
  private static func divisionItems(
    _ recipe: Recipe, _ model: LanguageModel, ranks: Int, _ sizes: SegmentStateSizes
  ) -> [Item] {
    let (parts, segments) = (recipe.parallel.sequenceRanks, recipe.segments.segmentCount)
    let groups = ranks / parts
    let microBatches = (recipe.train.microBatches + groups - 1) / groups
    var items = [
      Item(
        name: "ranks x micro-batches",
        value: parts == 1
          ? "\(ranks) x \(microBatches)"
          : "\(groups) group\(groups == 1 ? "" : "s") of \(parts) x \(microBatches)"),
      Item(name: "segments a sequence", value: String(segments)),
    ]
    if parts > 1 {
      let share = model.shareCount(batch: recipe.train.microBatch, parts: parts)
      let state = sizes.gatheredCount / parts
      items.append(
        Item(
          name: "a rank's share of a segment",
          value: "\(recipe.segments.largestPart) tokens; sends \(byteText(4 * share)) to its group "
            + "forward, the same backward"
            + (state > 0 ? ", and \(byteText(4 * state)) of its first state" : "")))
    }
    return items
  }

  /// What each source gives, judged by its first samples.
  ///
  /// A plan that ends with an error leaves out what takes long.
  private static func dataItems(_ data: RunData, reads: Bool) throws -> [Item] {
    let stream = try data.stream()
    let shares = reads ? try DataShare.shares(of: stream).map { "\($0); " } : []
    var items = stream.sources.enumerated().map { index, source in
      let samples = Self.samples(source.samples)
      return Item(
        name: source.name, value: (reads ? shares[index] : "") + "samples: \(samples)")
    }
    if reads {
      items.append(Item(name: "token ids checked", value: "\(try data.checkTokens())"))
    }
    return items
  }

  private static func samples(_ source: any SampleSource) -> String {
    let text = source as? TextSource
    if let text, text.epochSampleCount == nil {
      return "\(count(text.corpus.byteCount)) bytes of text in \(text.corpus.fileCount) file"
        + "\(text.corpus.fileCount == 1 ? "" : "s"), to be tokenized by the run"
    }
    return (source.sampleCount ?? text?.epochSampleCount).map { count($0) } ?? "endless"
  }

  private static func trainedCount(_ model: LanguageModel) -> Int {
    model.layout.trainableSlots.reduce(0) { $0 + $1.count }
  }

  private static func memoryItems(_ memory: TrainingMemory) -> [Item] {
    let starts =
      switch memory.storage {
      case .memory: "states at segment starts"
      case .thinned(let n): "states at segment starts, one of \(n)"
      case .spilled(let directory): "a state; all starts in \(directory)"
      }
    let all = memory.items + [(name: starts, count: memory.startingStates)]
    var items = all.map { Item(name: $0.name, value: byteText(4 * $0.count)) }
    if memory.expanding > 0 {
      items.append(
        Item(
          name: "before training, to expand", value: byteText(4 * memory.expanding) + " in all"))
    }
    return items + [
      Item(
        name: "total",
        value: byteText(4 * memory.peak)
          + "; the program, its libraries and MPI take about 70 MB more")
    ]
  }

  private static func fileItems(_ recipe: Recipe, _ model: LanguageModel, ranks: Int) -> [Item] {
    let state = recipe.train.rule.stateByteCount * trainedCount(model)
    let checkpoint = 4 * model.layout.parameterCount + state
    return [
      Item(
        name: "a checkpoint",
        value: "at most \(byteText(checkpoint)) in \(ranks) shard\(ranks == 1 ? "" : "s"), "
          + "\(recipe.checkpoint.keep) kept in \(recipe.run.output)/checkpoints"),
      Item(
        name: "the export",
        value: "\(byteText(4 * model.layout.parameterCount)) in "
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
