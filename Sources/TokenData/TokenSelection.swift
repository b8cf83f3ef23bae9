import Compression
import Files

/// Stored tokens that a recipe or a command names: which files, and which of their documents.
public struct TokenSelection: Sendable, Equatable {
  /// Which documents.
  public enum Part: Sendable, Equatable {
    /// All.
    case all
    /// Those that are not held out, of which the given share is.
    case training(heldOut: Double)
    /// Those that are held out.
    case heldOut(Double)
  }

  /// Prefixes, files, or patterns with `*`, `?` and `[...]` that stand for several; in order.
  public var names: [String]
  /// In files without an index, the id after which a document ends; nil makes each file one document.
  public var endOfText: Int32?
  /// Which of the documents.
  public var part = Part.all

  /// All documents of the named files.
  public init(_ names: [String], endOfText: Int32? = nil, part: Part = .all) {
    (self.names, self.endOfText, self.part) = (names, endOfText, part)
  }

  /// Opens the files, in the order of the names, and that of the paths where a name is a pattern.
  ///
  /// - Throws: `.file`; `.invalid` for a name that stands for nothing, a file named twice, no document in the
  ///   part asked for.
  public func open() throws(TokenDataError) -> [MegatronTokens] {
    var files: [MegatronTokens] = []
    var seen: Set<String> = []
    for name in names {
      for path in try Self.paths(name) {
        let tokens = try opened(path)
        let file = try TokenDataError.from(try FileSystem.canonical(tokens.tokenFile))
        guard seen.insert(file).inserted else {
          throw .invalid(
            path: tokens.tokenFile, field: "tokens",
            reason: "is named twice in one source: give the source more weight instead")
        }
        files.append(tokens)
      }
    }
    guard part != .all else { return files }
    return try select(files)
  }

  /// The identity of opened files: it changes with anything that changes a sample.
  public func fingerprint(of files: [MegatronTokens]) -> String {
    var text = files.map { $0.fingerprint().description }.joined(separator: " + ")
    if let endOfText { text += " documents end with \(endOfText)" }
    return text + part.identity
  }

  private static func paths(_ name: String) throws(TokenDataError) -> [String] {
    // What is there is meant as it stands.
    guard name.contains(where: { "*?[".contains($0) }),
      try !TokenDataError.from(try FileSystem.exists(name + ".idx"))
    else { return [name] }
    // A pattern may stand for prefixes or for files; of a pair only the index counts.
    let found = try TokenDataError.from { () throws(FileError) in
      try FileSystem.matching(name) + FileSystem.matching(name + ".idx")
    }
    let indexed = Set(found.filter { $0.hasSuffix(".idx") }.map { String($0.dropLast(4)) })
    let flat = found.filter {
      $0.hasSuffix(".npy") || $0.hasSuffix(".bin") && !indexed.contains(String($0.dropLast(4)))
    }
    let paths = (Array(indexed) + flat).sorted()
    guard !paths.isEmpty else {
      throw .invalid(path: name, field: "tokens", reason: "no token file matches the pattern")
    }
    return paths
  }

  private func opened(_ path: String) throws(TokenDataError) -> MegatronTokens {
    let isBin = path.hasSuffix(".bin") || path.hasSuffix(".idx")
    let prefix = isBin ? String(path.dropLast(4)) : path
    if path.hasSuffix(".npy") { return try MegatronTokens(flat: path, endOfText: endOfText) }
    if isBin, try !TokenDataError.from(try FileSystem.exists(prefix + ".idx")),
      try TokenDataError.from(try FileSystem.exists(path))
    {
      return try MegatronTokens(flat: path, endOfText: endOfText)
    }
    return try MegatronTokens(prefix: prefix)
  }

  // MARK: Held-out documents

  private func select(_ files: [MegatronTokens]) throws(TokenDataError) -> [MegatronTokens] {
    let filled = files.map { $0.selecting(part) }.filter { $0.tokenCount > 0 }
    guard !filled.isEmpty else { throw Self.nothing(in: files) }
    return filled
  }

  /// The error of a part that no document falls in.
  static func nothing(in files: [MegatronTokens]) -> TokenDataError {
    .invalid(
      path: files.first?.tokenFile ?? "", field: "split",
      reason:
        "none of \(files.reduce(0) { $0 + $1.documentStarts.count }) documents falls in the "
        + "part asked for: change split.held_out")
  }
}

extension TokenSelection.Part {
  /// What it adds to the identity of data; empty for all documents.
  var identity: String {
    switch self {
    case .all: ""
    case .training(let share): " without the \(share) held out"
    case .heldOut(let share): " only the \(share) held out"
    }
  }
}

extension MegatronTokens {
  /// The documents of a part.
  func selecting(_ part: TokenSelection.Part) -> MegatronTokens {
    switch part {
    case .all: self
    case .training(let share): selecting { !isHeldOut($0, share: share) }
    case .heldOut(let share): selecting { isHeldOut($0, share: share) }
    }
  }

  /// Ids of a document that its hash covers.
  private static let hashedIDs = 256

  /// Whether a document belongs to the share of documents that is held out.
  ///
  /// Its content alone decides: the XXH64 of its length as 64 bits and its first 256 ids as 32 bits each,
  /// little-endian, as a fraction of 2^64, lies below the share. Equal documents fall on the same side
  /// wherever they stand.
  ///
  /// - Parameters:
  ///   - positions: where the document's tokens are.
  ///   - share: from 0 to 1.
  /// - Returns: whether it does.
  func isHeldOut(_ positions: Range<Int>, share: Double) -> Bool {
    var bytes: [UInt8] = []
    bytes.append(littleEndian: UInt64(positions.count))
    let ids = storedIDs(positions.prefix(Self.hashedIDs))
    for id in ids { bytes.append(littleEndian: id) }
    let hash = bytes.withUnsafeBytes { XXH64.hash($0) }
    return Double(hash >> 11) * 0x1p-53 < share
  }
}
