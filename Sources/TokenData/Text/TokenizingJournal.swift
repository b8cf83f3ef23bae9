import Compression
import Fields
import Files
import JSON

/// How far the making of a data set has come.
struct TokenizingJournal {
  /// The file's name.
  static let name = "journal.json"

  /// What to do when work cannot be taken up.
  static let anew = "begin anew with --overwrite"

  var settings: TokenizingSettings
  var sources: [TokenManifest.Source] = []
  var stamps: [FileSystem.Stamp?] = []
  var binBytes = 0
  var binHash = XXH64.hexadecimal(XXH64.hash(UnsafeRawBufferPointer(start: nil, count: 0)))
  var skippedBytes = 0

  /// Nothing is done.
  init(_ settings: TokenizingSettings) { self.settings = settings }

  /// Reads the journal in a directory; nil when there is none.
  init?(directory: String) throws(TokenDataError) {
    guard let journal = try Self.read(directory + "/" + Self.name) else { return nil }
    self = journal
  }

  private static func read(_ path: String) throws(TokenDataError) -> TokenizingJournal? {
    guard try TokenDataError.from(try FileSystem.exists(path)) else { return nil }
    let json = try TokenDataError.from(try JSONValue(contentsOf: path))
    do throws(FieldError) {
      let value = FieldValue(json: json, place: .source(path))
      return try TokenizingJournal(FieldReader(value, path: "", keys: nil))
    } catch {
      throw .invalid(path: path, field: "journal", reason: "\(error.description); \(anew)")
    }
  }

  private init(_ reader: FieldReader) throws(FieldError) {
    settings = try TokenizingSettings(
      vocabulary: .init(reader.mapping("tokenizer")), reading: .init(reader),
      ends: .init(reader), longestDocument: reader.bytes("longest_document"))
    binBytes = try reader.integer("bin_bytes", .atLeast(0), atMost: 1 << 60)
    binHash = try reader.text("bin_xxh64")
    skippedBytes = try reader.integer("skipped_bytes", .atLeast(0), atMost: 1 << 60)
    for source in try reader.mappings("sources") {
      sources.append(try .init(source))
      let modified = try source.optionalInteger("modified", .atLeast(0), atMost: .max)
      stamps.append(
        modified.map { .init(byteCount: sources[sources.count - 1].byteCount, modified: $0) })
    }
  }

  /// As stored.
  var json: JSONValue {
    let done = zip(sources, stamps).map { source, stamp -> JSONValue in
      guard case .object(var members) = source.json else { return source.json }
      if let stamp { members.append(JSONMember("modified", .integer(stamp.modified))) }
      return .object(members)
    }
    return .object(
      [
        JSONMember("tokenizer", settings.vocabulary.json),
        JSONMember("longest_document", .integer(settings.longestDocument)),
        JSONMember("bin_bytes", .integer(binBytes)), JSONMember("bin_xxh64", .string(binHash)),
        JSONMember("skipped_bytes", .integer(skippedBytes)),
      ] + settings.reading.members + settings.ends.members + [JSONMember("sources", .array(done))])
  }

  /// Requires that the work can be taken up: the settings are the same, and so are the sources done.
  ///
  /// What becomes of bad input does not matter as long as there was none.
  ///
  /// - Throws: `.invalid` naming the first difference.
  func check(
    _ now: TokenizingSettings, _ inputs: [TextInput], _ directory: String
  ) throws(TokenDataError) {
    func refuse(_ field: String, _ then: Any, _ now: Any) -> TokenDataError {
      .invalid(
        path: directory, field: field,
        reason: "the work there was begun with `\(then)`, not `\(now)`: take it up as it was "
          + "begun, or \(Self.anew)")
    }
    let hasSkipped = sources.contains { $0.counts.skipped > 0 }
    if settings.vocabulary != now.vocabulary {
      throw refuse(
        "tokenizer", "\(settings.vocabulary.name) (\(settings.vocabulary.hash))",
        "\(now.vocabulary.name) (\(now.vocabulary.hash))")
    }
    if settings.reading.field != now.reading.field {
      throw refuse("--field", settings.reading.field, now.reading.field)
    }
    if settings.reading.badInput != now.reading.badInput, hasSkipped {
      throw refuse("--skip-bad", settings.reading.badInput, now.reading.badInput)
    }
    if settings.ends.beginning != now.ends.beginning {
      throw refuse("--bos", settings.ends.beginning.rawValue, now.ends.beginning.rawValue)
    }
    if settings.ends.end != now.ends.end {
      throw refuse("--eos", settings.ends.end.rawValue, now.ends.end.rawValue)
    }
    for (index, source) in sources.enumerated() {
      guard index < inputs.count, inputs[index].path == source.path else {
        let found = index < inputs.count ? inputs[index].path : "nothing"
        throw refuse("input \(index + 1)", source.path, found)
      }
      guard try inputs[index].stamp() == stamps[index], stamps[index] != nil else {
        throw .invalid(
          path: source.path, field: "input",
          reason: "has changed since it was tokenized to \(directory): \(Self.anew)")
      }
    }
  }
}
