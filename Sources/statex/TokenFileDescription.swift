import CommandSupport
import JSON
import TokenData

/// What `data inspect` tells of a token file.
struct TokenFileDescription {
  private static let percents = [0, 1, 5, 25, 50, 75, 95, 99, 100]

  private var facts: PathDescription
  private let lengths: DocumentLengths
  /// The first documents, decoded.
  private let samples: [(tokens: [Int32], text: String)]
  private let samplesText: String

  /// Reads a file.
  ///
  /// - Parameters:
  ///   - prefix: the pair's prefix, or either file.
  ///   - first: how many documents to decode.
  ///   - text: how; its tokenizer may be nil for none.
  /// - Throws: `TokenDataError`.
  init(_ prefix: String, first: Int, _ text: SampleText) throws {
    facts = try PathDescription.tokens(prefix)
    let tokens = try MegatronTokens(prefix: PathDescription.tokenPrefix(prefix))
    lengths = DocumentLengths(tokens)
    facts.members.append(
      JSONMember("largest_id", tokens.largestID().map { .integer($0) } ?? .null))
    facts.members.append(JSONMember("empty_documents", .integer(lengths.emptyCount)))
    guard let tokenizer = text.tokenizer else {
      (samples, samplesText) = ([], "")
      return
    }
    let starts = tokens.documentStarts
    samples = try (0..<min(first, starts.count)).map { document in
      let end = document + 1 < starts.count ? starts[document + 1] : tokens.tokenCount
      let ids = UnsafeMutableBufferPointer<Int32>.allocate(capacity: end - starts[document])
      defer { ids.deallocate() }
      try tokens.read(
        from: starts[document], into: ids, vocabularySize: tokenizer.vocabularySize)
      return (Array(ids), tokenizer.decode(Array(ids)))
    }
    samplesText = samples.enumerated().map { number, sample in
      "document \(number), \(sample.tokens.count) tokens\n" + text.lines(document: sample.tokens)
    }.joined(separator: "\n")
  }

  /// Facts, percentiles and histogram, then the documents.
  var text: String {
    var parts = [facts.text]
    parts.append("")
    let row = Self.percents.map { lengths.percentile($0).map(String.init) ?? "-" }
    parts.append(
      alignedTable([
        ["tokens a document", "min"] + Self.percents[1...7].map { "\($0) %" } + ["max"],
        [lengths.mean.map { "mean \(rounded($0))" } ?? ""] + row,
      ]))
    parts.append(contentsOf: ["", histogram])
    if !samplesText.isEmpty { parts.append(contentsOf: ["", samplesText]) }
    return parts.joined(separator: "\n")
  }

  /// Bars of at most 30 characters: a line has fewer than 80 columns.
  private var histogram: String {
    let bins = lengths.histogram
    let most = bins.map(\.documents).max() ?? 1
    let labels = bins.map { bin in
      bin.lengths.count == 1
        ? "\(bin.lengths.lowerBound)" : "\(bin.lengths.lowerBound)-\(bin.lengths.upperBound)"
    }
    let width = labels.map(\.count).max() ?? 0
    let lines = zip(labels, bins).map { label, bin in
      // Anything there is shows.
      let length = bin.documents == 0 ? 0 : max(30 * bin.documents / most, 1)
      let bar = String(repeating: "#", count: length) + String(repeating: " ", count: 30 - length)
      return String(repeating: " ", count: width - label.count) + label + " |" + bar
        + " \(bin.documents)"
    }
    return lines.joined(separator: "\n")
  }

  private func rounded(_ value: Double) -> Double { (value * 10).rounded() / 10 }

  /// The same for programs.
  var json: JSONValue {
    var members = facts.members
    members.append(
      JSONMember(
        "lengths",
        .object(
          [JSONMember("mean", lengths.mean.map { .number("\($0)") } ?? .null)]
            + Self.percents.map { percent in
              JSONMember("\(percent)", lengths.percentile(percent).map { .integer($0) } ?? .null)
            })))
    members.append(
      JSONMember(
        "histogram",
        .array(
          lengths.histogram.map { bin in
            .object([
              JSONMember("from", .integer(bin.lengths.lowerBound)),
              JSONMember("to", .integer(bin.lengths.upperBound)),
              JSONMember("documents", .integer(bin.documents)),
            ])
          })))
    if !samples.isEmpty {
      members.append(
        JSONMember(
          "samples",
          .array(
            samples.map { sample in
              .object([
                JSONMember("tokens", .array(sample.tokens.map { .integer($0) })),
                JSONMember("text", .string(sample.text)),
              ])
            })))
    }
    return .object(members)
  }
}
