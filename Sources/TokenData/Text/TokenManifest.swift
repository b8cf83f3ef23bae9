import Fields
import Files
import JSON

/// What a data set was made from, in `PREFIX.manifest.json` beside its two files.
public struct TokenManifest: Sendable, Equatable {
  /// The tokenizer that made the ids.
  public struct Vocabulary: Sendable, Equatable {
    /// What people call it.
    public var name: String
    /// Hash of its file; of `byte`, its name.
    public var hash: String
    /// Its ids are below this number.
    public var size: Int

    /// Names the parts.
    public init(name: String, hash: String, size: Int) {
      (self.name, self.hash, self.size) = (name, hash, size)
    }
  }

  /// Documents and what became of them.
  public struct Counts: Sendable, Equatable {
    /// Documents written.
    public var documents = 0
    /// Tokens written.
    public var tokens = 0
    /// Bytes of text in these documents.
    public var textBytes = 0
    /// Documents left out because they could not be read.
    public var skipped = 0
    /// The largest id; -1 without any.
    public var largest: Int32 = -1

    /// Nothing.
    public init() {}

    static func + (a: Counts, b: Counts) -> Counts {
      var sum = a
      sum.documents += b.documents
      sum.tokens += b.tokens
      sum.textBytes += b.textBytes
      sum.skipped += b.skipped
      sum.largest = max(a.largest, b.largest)
      return sum
    }
  }

  /// A file that documents came from.
  public struct Source: Sendable, Equatable {
    /// Where it was; `-` for the standard input.
    public var path: String
    /// Bytes as stored.
    public var byteCount: Int
    /// XXH64 of these bytes.
    public var hash: String
    /// What it gave.
    public var counts: Counts
  }

  /// A file of the data set.
  public struct Part: Sendable, Equatable {
    /// Bytes.
    public var byteCount: Int
    /// XXH64 of them.
    public var hash: String

    /// Names the parts.
    public init(byteCount: Int, hash: String) { (self.byteCount, self.hash) = (byteCount, hash) }
  }

  /// The program that made it.
  public var program: String
  /// The tokenizer.
  public var vocabulary: Vocabulary
  /// Where it was; nil for one that is built in.
  public var tokenizerPath: String?
  /// How documents were taken from the sources.
  public var reading: TextReading
  /// Which ids stand around a document.
  public var ends: DocumentEnds
  /// The sources in their order.
  public var sources: [Source]
  /// The token file.
  public var tokens: Part
  /// The index.
  public var index: Part

  /// What all sources gave.
  public var counts: Counts { sources.reduce(Counts()) { $0 + $1.counts } }

  /// Requires that the two files are those that were written with the manifest; tokens by their number.
  ///
  /// - Throws: `.invalid` naming the file.
  func check(_ prefix: String, _ found: DatasetFingerprint) throws(TokenDataError) {
    for (ending, now, then) in [
      (".bin", "\(found.tokenBytes) bytes", "\(tokens.byteCount) bytes"),
      (
        ".idx", "\(found.indexBytes) bytes, XXH64 \(found.indexHash)",
        "\(index.byteCount) bytes, XXH64 \(index.hash)"
      ),
    ] where now != then {
      throw .invalid(
        path: prefix + ending, field: "contents",
        reason:
          "\(now), but \(Self.path(prefix: prefix)) says \(then): the data set was changed since; "
          + "make it again, or remove the manifest")
    }
  }

  /// Lines for people about data that another tokenizer has made than the model's.
  ///
  /// The model's is read only where there is something to say; else its file is hashed.
  ///
  /// - Parameters:
  ///   - made: names of data, and what made them.
  ///   - directory: the model's; nil where it has none.
  /// - Returns: one line for each that differs; none where the model has no tokenizer.
  /// - Throws: `TokenDataError` when the tokenizer cannot be read.
  public static func mismatches(
    of made: [(name: String, vocabulary: Vocabulary)], model directory: String?
  ) throws(TokenDataError) -> [String] {
    guard !made.isEmpty, let directory,
      let hash = try HuggingFaceTokenizer.contentHash(path: directory)
    else { return [] }
    let others = made.filter { $0.vocabulary.hash != hash }
    guard !others.isEmpty else { return [] }
    let model = try HuggingFaceTokenizer(path: directory).vocabulary
    return others.map { $0.vocabulary.mismatch($0.name, model: model) }
  }

  /// The tokenizer that made the ids, if it is still where it was.
  ///
  /// - Parameter others: further places to look at.
  /// - Returns: nil where it is nowhere.
  /// - Throws: `TokenDataError` when it cannot be read.
  public func tokenizer(orIn others: [String] = []) throws(TokenDataError) -> (any Tokenizer)? {
    let byte = ByteTokenizer()
    if vocabulary.hash == byte.contentHash { return byte }
    for path in (tokenizerPath.map { [$0] } ?? []) + others
    where try HuggingFaceTokenizer.contentHash(path: path) == vocabulary.hash {
      return try HuggingFaceTokenizer(path: path)
    }
    return nil
  }

  /// Where the manifest of a data set is.
  public static func path(prefix: String) -> String { prefix + ".manifest.json" }
}

// MARK: - As stored

extension TokenManifest {
  private static let format = "statex-tokens/1"

  /// As stored.
  var json: JSONValue {
    let head =
      [
        JSONMember("format", .string(Self.format)), JSONMember("program", .string(program)),
        JSONMember("tokenizer", vocabulary.json),
      ] + (tokenizerPath.map { [JSONMember("tokenizer_path", .string($0))] } ?? [])
    return .object(
      head + reading.members + ends.members + [
        JSONMember("total", .object(counts.members)), JSONMember("bin", tokens.json),
        JSONMember("idx", index.json), JSONMember("sources", .array(sources.map(\.json))),
      ])
  }

  /// Reads the manifest of a data set; nil when there is none.
  ///
  /// - Parameter prefix: of the data set.
  /// - Throws: `.file`; `.invalid` naming file and field.
  public init?(prefix: String) throws(TokenDataError) {
    guard let manifest = try Self.read(Self.path(prefix: prefix)) else { return nil }
    self = manifest
  }

  private static func read(_ path: String) throws(TokenDataError) -> TokenManifest? {
    guard try TokenDataError.from(try FileSystem.exists(path)) else { return nil }
    let json = try TokenDataError.from(try JSONValue(contentsOf: path))
    do throws(FieldError) {
      let value = FieldValue(json: json, place: .source(path))
      return try TokenManifest(FieldReader(value, path: "", keys: nil))
    } catch {
      throw .invalid(path: path, field: "manifest", reason: error.description)
    }
  }

  private init(_ reader: FieldReader) throws(FieldError) {
    let format = try reader.text("format")
    guard format == Self.format else {
      throw reader.invalid("format", "must be \(Self.format), found \(format)")
    }
    program = try reader.text("program")
    vocabulary = try Vocabulary(reader.mapping("tokenizer"))
    tokenizerPath = try reader.optionalText("tokenizer_path")
    reading = try TextReading(reader)
    ends = try DocumentEnds(reader)
    sources = []
    for source in try reader.mappings("sources") { sources.append(try Source(source)) }
    tokens = try Part(reader.mapping("bin"))
    index = try Part(reader.mapping("idx"))
  }
}

extension TokenManifest.Vocabulary {
  /// A line for people about data that it made, which a model with another one is to read.
  func mismatch(_ data: String, model: Self) -> String {
    "\(data) was made with the tokenizer \(name) (\(hash), vocabulary \(size)), the model's is "
      + "\(model.name) (\(model.hash), vocabulary \(model.size))"
  }

  var json: JSONValue {
    .object([
      JSONMember("name", .string(name)), JSONMember("xxh64", .string(hash)),
      JSONMember("vocabulary", .integer(size)),
    ])
  }

  init(_ reader: FieldReader) throws(FieldError) {
    name = try reader.text("name")
    hash = try reader.text("xxh64")
    size = try reader.integer("vocabulary", .atLeast(1))
  }
}

extension TokenManifest.Counts {
  var members: [JSONMember] {
    [
      JSONMember("documents", .integer(documents)), JSONMember("tokens", .integer(tokens)),
      JSONMember("text_bytes", .integer(textBytes)), JSONMember("skipped", .integer(skipped)),
      JSONMember("largest_id", .integer(largest)),
    ]
  }

  init(_ reader: FieldReader) throws(FieldError) {
    func count(_ name: String) throws(FieldError) -> Int {
      try reader.integer(name, .atLeast(0), atMost: 1 << 60)
    }
    documents = try count("documents")
    tokens = try count("tokens")
    textBytes = try count("text_bytes")
    skipped = try count("skipped")
    largest = Int32(try reader.integer("largest_id", .atLeast(-1), atMost: Int(Int32.max)))
  }
}

extension TokenManifest.Source {
  var json: JSONValue {
    .object(
      [
        JSONMember("path", .string(path)), JSONMember("bytes", .integer(byteCount)),
        JSONMember("xxh64", .string(hash)),
      ] + counts.members)
  }

  init(_ reader: FieldReader) throws(FieldError) {
    path = try reader.text("path")
    byteCount = try reader.integer("bytes", .atLeast(0), atMost: 1 << 60)
    hash = try reader.text("xxh64")
    counts = try TokenManifest.Counts(reader)
  }
}

extension TokenManifest.Part {
  var json: JSONValue {
    .object([JSONMember("bytes", .integer(byteCount)), JSONMember("xxh64", .string(hash))])
  }

  init(_ reader: FieldReader) throws(FieldError) {
    byteCount = try reader.integer("bytes", .atLeast(0), atMost: 1 << 60)
    hash = try reader.text("xxh64")
  }
}
