import CommandSupport
import JSON
import TokenData
import Training

/// What `data inspect --recipe` tells of the samples that a rank will see.
struct RankSamples {
  /// What is looked at.
  struct Place {
    var rank: Int
    var ranks: Int
    var step: Int
    var first: Int
  }

  private let place: Place
  private let samples: [DataPreview.Sample]
  private let tokenizers: [(any Tokenizer)?]
  private let limit: Int
  /// Ranks that share a sequence.
  private let parts: Int

  /// Reads the samples.
  ///
  /// - Parameters:
  ///   - recipe: the run.
  ///   - place: what is looked at.
  ///   - tokenizer: of stored tokens; nil for the one that made them, or the pretrained model's.
  ///   - limit: tokens of a sample that are shown at most; 0 for all.
  /// - Throws: `CommandError.usage` for a step that the run does not have; what opening its data can throw.
  init(_ recipe: Recipe, _ place: Place, tokenizer: String?, limit: Int) throws {
    guard place.step <= recipe.train.steps else {
      throw CommandError.usage(
        "--step \(place.step): the recipe has train.steps: \(recipe.train.steps)")
    }
    let preview = try DataPreview(recipe, rank: place.rank, ranks: place.ranks)
    samples = try preview.samples(place.first, fromStep: place.step)
    tokenizers = try recipe.data.sources.indices.map {
      try preview.tokenizer(ofSource: $0, named: tokenizer)
    }
    parts = recipe.parallel.sequenceRanks
    self.place = place
    self.limit = limit
  }

  /// A few lines for each sample.
  var text: String {
    let shared =
      parts > 1
      ? ", which shares each sequence with \(parts - 1) other\(parts == 2 ? "" : "s")" : ""
    return "rank \(place.rank) of \(place.ranks)\(shared)\n\n"
      + samples.map(text).joined(separator: "\n\n")
  }

  private func text(_ sample: DataPreview.Sample) -> String {
    let counted = sample.weights.count { $0 > 0 }
    let weights = Set(sample.weights.filter { $0 > 0 }).sorted().map { "\($0)" }
    var head = "step \(sample.step)  sample \(sample.number)  source \(sample.source.name)"
    head += "  epoch \(sample.epoch)  index \(sample.index)"
    if let documents = sample.documents {
      head +=
        documents.count == 1
        ? "  document \(documents.lowerBound)"
        : "  documents \(documents.lowerBound) to \(documents.upperBound)"
      if let file = sample.file { head += " of \(file)" }
    }
    var facts = "  \(counted) of \(sample.targets.count) targets count"
    if counted > 0 {
      facts +=
        (weights.count == 1 ? ", of weight " : ", of weights ") + weights.joined(separator: ", ")
    }
    let text = SampleText(
      tokenizer: tokenizers[sample.source.index], limit: limit, style: .standard)
    return head + "\n" + facts + "\n"
      + text.lines(inputs: sample.inputs, targets: sample.targets, weights: sample.weights)
  }

  /// The same for programs, with all tokens.
  var json: JSONValue {
    .object([
      JSONMember("rank", .integer(place.rank)), JSONMember("ranks", .integer(place.ranks)),
      JSONMember("samples", .array(samples.map(json))),
    ])
  }

  private func json(_ sample: DataPreview.Sample) -> JSONValue {
    var members = [
      JSONMember("step", .integer(sample.step)), JSONMember("sample", .integer(sample.number)),
      JSONMember("source", .string(sample.source.name)),
      JSONMember("epoch", .integer(sample.epoch)), JSONMember("index", .integer(sample.index)),
    ]
    if let documents = sample.documents {
      members.append(
        JSONMember(
          "documents", .array([.integer(documents.lowerBound), .integer(documents.upperBound)])))
      if let file = sample.file { members.append(JSONMember("file", .string(file))) }
    }
    members += [
      JSONMember("inputs", .array(sample.inputs.map { .integer($0) })),
      JSONMember("targets", .array(sample.targets.map { .integer($0) })),
      JSONMember("weights", .array(sample.weights.map { JSONValue($0) })),
    ]
    if let tokenizer = tokenizers[sample.source.index] {
      members.append(JSONMember("text", .string(tokenizer.decode(sample.inputs))))
    }
    return .object(members)
  }
}
