import CommandSupport
import JSON
import TokenData

/// What `data inspect` tells of token files.
struct TokenFileDescription {
  private static let percents = [0, 1, 5, 25, 50, 75, 95, 99, 100]

  private var facts: PathDescription
  private let lengths: DocumentLengths
  /// The first documents, decoded.
  private let samples: [Document]
  private let samplesText: String

  /// A document that is shown.
  private struct Document {
    /// Where it is; nil where there is one file only.
    var file: String?
    /// Its number there, counted from 0 without empty ones.
    var number: Int
    var tokens: [Int32]
    var text: String
  }

  /// Reads files.
  ///
  /// - Parameters:
  ///   - selection: which.
  ///   - first: how many documents to decode.
  ///   - tokenizer: with what; nil for the one that made the tokens, if that can be found.
  ///   - limit: tokens of a document to show, about; 0 for all.
  /// - Throws: `TokenDataError`.
  init(_ selection: TokenSelection, first: Int, tokenizer: String?, limit: Int) throws {
    let files = try selection.open()
    facts = try PathDescription.tokens(files)
    lengths = DocumentLengths(files)
    facts.members.append(
      JSONMember(
        "largest_id", files.compactMap { $0.largestID() }.max().map { .integer($0) } ?? .null))
    facts.members.append(JSONMember("empty_documents", .integer(lengths.emptyCount)))
    guard let tokenizer = try Self.tokenizer(tokenizer, files) else {
      (samples, samplesText) = ([], "")
      return
    }
    facts.members.append(JSONMember("decoded_with", .string(tokenizer.name)))
    samples = try Self.documents(first, files, tokenizer)
    let text = SampleText(tokenizer: tokenizer, limit: limit, style: .standard)
    samplesText = samples.map { sample in
      "document \(sample.number)" + (sample.file.map { " of \($0)" } ?? "")
        + ", \(sample.tokens.count) tokens\n" + text.lines(document: sample.tokens)
    }.joined(separator: "\n")
  }

  private static func tokenizer(
    _ name: String?, _ files: [MegatronTokens]
  ) throws(TokenDataError) -> (any Tokenizer)? {
    if let name { return try loadTokenizer(name) }
    for file in files {
      if let found = try file.manifest?.tokenizer() { return found }
    }
    return nil
  }

  private static func documents(
    _ count: Int, _ files: [MegatronTokens], _ tokenizer: any Tokenizer
  ) throws(TokenDataError) -> [Document] {
    var documents: [Document] = []
    for file in files {
      for (number, range) in file.documents.enumerated() where documents.count < count {
        let ids = UnsafeMutableBufferPointer<Int32>.allocate(capacity: range.count)
        defer { ids.deallocate() }
        try file.read(
          from: range.lowerBound, into: ids, vocabularySize: tokenizer.vocabularySize)
        documents.append(
          Document(
            file: files.count > 1 ? file.prefix : nil, number: number, tokens: Array(ids),
            text: tokenizer.decode(Array(ids))))
      }
    }
    return documents
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
          [JSONMember("mean", lengths.mean.map { JSONValue($0) } ?? .null)]
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
              .object(
                (sample.file.map { [JSONMember("file", .string($0))] } ?? []) + [
                  JSONMember("document", .integer(sample.number)),
                  JSONMember("tokens", .array(sample.tokens.map { .integer($0) })),
                  JSONMember("text", .string(sample.text)),
                ])
            })))
    }
    return .object(members)
  }
}
