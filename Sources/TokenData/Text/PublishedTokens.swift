import Fields
import Files
import JSON

/// The part of a data set in the making that other threads and processes may read.
///
/// `PREFIX.unfinished/published` says how many documents and tokens are durable; it is replaced whole, and only
/// after them. They are then read as those of a finished data set are.
struct PublishedTokens: Equatable {
  /// Documents.
  var documents: Int
  /// Their tokens.
  var tokens: Int

  /// The file's name in the directory of the work.
  static let name = "published"

  /// Names both.
  init(documents: Int, tokens: Int) { (self.documents, self.tokens) = (documents, tokens) }

  /// Reads what is published of a data set; nil when nothing is.
  ///
  /// - Throws: `.file`; `.invalid` for a damaged file.
  init?(prefix: String) throws(TokenDataError) {
    let path = UnfinishedTokens.directory(prefix) + "/" + Self.name
    guard try TokenDataError.from(try FileSystem.exists(path)) else { return nil }
    let json = try TokenDataError.from(try JSONValue(contentsOf: path))
    do throws(FieldError) {
      let reader = try FieldReader(
        FieldValue(json: json, place: .source(path)), path: "", keys: nil)
      documents = try reader.integer("documents", .atLeast(0), atMost: 1 << 48)
      tokens = try reader.integer("tokens", .atLeast(0), atMost: 1 << 48)
    } catch {
      throw .invalid(path: path, field: "published", reason: error.description)
    }
  }

  /// As stored.
  var json: JSONValue {
    .object([
      JSONMember("documents", .integer(documents)), JSONMember("tokens", .integer(tokens)),
    ])
  }
}

/// Documents one after the other, of which only the lengths are stored.
struct PublishedLayout: TokenLayout {
  let element: TokenElement
  let sequenceCount: Int
  let documentCount: Int
  let tokenCount: Int
  let runs: [MegatronTokens.Run]
  private let starts: [Int]

  /// The first documents of a data set in the making.
  ///
  /// - Parameters:
  ///   - published: how many.
  ///   - lengths: the file of their lengths, each an `int32`.
  ///   - element: how tokens are stored.
  /// - Throws: `.invalid` when the lengths are not those of the tokens.
  init(
    _ published: PublishedTokens, lengths: MappedFile, element: TokenElement
  ) throws(TokenDataError) {
    self.element = element
    (documentCount, sequenceCount) = (published.documents, published.documents)
    tokenCount = published.tokens
    runs = tokenCount > 0 ? [.init(start: 0, fileOffset: 0)] : []
    var (starts, count): ([Int], Int) = ([], 0)
    var isBroken = false
    starts.reserveCapacity(documentCount)
    for document in 0..<documentCount {
      let length = Int32(
        littleEndian: lengths.bytes.loadUnaligned(fromByteOffset: 4 * document, as: Int32.self))
      isBroken = isBroken || length < 0
      if length > 0 { starts.append(count) }
      count += Int(length)
    }
    guard count == tokenCount, !isBroken else {
      throw .invalid(
        path: lengths.path, field: "contents",
        reason: "\(documentCount) documents have \(count) tokens, not \(tokenCount)")
    }
    self.starts = starts
  }

  func documentStarts() -> [Int] { starts }

  func document(ofToken token: Int) -> Int { max(starts.partitioningIndex { $0 > token } - 1, 0) }
}

extension MegatronTokens {
  /// The documents of a data set in the making that are published; nil when there are fewer tokens than asked
  /// for, or a network file system does not show all of them yet.
  ///
  /// - Parameters:
  ///   - prefix: of the data set.
  ///   - least: tokens.
  ///   - element: how they are stored.
  /// - Throws: `.file`, also when the data set has been finished meanwhile; `.invalid`.
  convenience init?(
    publishedAt prefix: String, least: Int, element: TokenElement
  ) throws(TokenDataError) {
    guard let published = try PublishedTokens(prefix: prefix), published.tokens >= least else {
      return nil
    }
    let directory = UnfinishedTokens.directory(prefix)
    let (lengths, bin) = try TokenDataError.from { () throws(FileError) in
      (
        try MappedFile(path: directory + "/lengths"),
        try MappedFile(path: directory + "/tokens.bin")
      )
    }
    guard lengths.byteCount >= 4 * published.documents,
      bin.byteCount >= element.byteCount * published.tokens
    else { return nil }
    let layout = try PublishedLayout(published, lengths: lengths, element: element)
    self.init(prefix, bin, nil, layout, nil)
  }
}
