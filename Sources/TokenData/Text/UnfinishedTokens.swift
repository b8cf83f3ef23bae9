import Compression
import Files
import JSON

/// What decides the ids that a text gives.
struct TokenizingSettings: Equatable {
  var vocabulary: TokenManifest.Vocabulary
  var reading: TextReading
  var ends: DocumentEnds
  var longestDocument: Int
}

/// A data set in the making, in the directory `PREFIX.unfinished`.
///
/// - `tokens.bin`: the ids so far; it becomes `PREFIX.bin`.
/// - `lengths`: one `int32` a document.
/// - `skipped.jsonl`: one line a document that was left out; it becomes `PREFIX.skipped.jsonl`.
/// - `lock`: locked by the process that is at it.
/// - `published`: how much of `tokens.bin` and `lengths` others may read (`PublishedTokens`).
/// - `journal.json`: the settings, the sources that are done, and the lengths of the other files with them.
///
/// The journal is replaced whole now and then, after the others are durable. Whatever follows in them is
/// cut off when the work is taken up again.
final class UnfinishedTokens {
  /// The sources that are done, in order.
  private(set) var sources: [TokenManifest.Source]

  /// Sizes and times of these, nil for those that have none.
  private var stamps: [FileSystem.Stamp?]
  private let prefix: String
  private let directory: String
  private let settings: TokenizingSettings
  private let element: TokenElement
  private let lock: FileLock
  private var bin: AppendedFile
  private var lengthFile: AppendedFile
  private var skippedFile: AppendedFile
  private var lengths: [Int32]
  private var binHash: XXH64
  private var binBytes: Int
  private var skippedBytes: Int

  /// Takes up interrupted work, or begins.
  ///
  /// - Parameters:
  ///   - prefix: of the data set.
  ///   - settings: what decides its ids.
  ///   - inputs: all sources, those that are done first.
  ///   - overwriting: whether work that is damaged, or was done with other settings or sources, may be thrown
  ///     away.
  /// - Returns: the work.
  /// - Throws: `.file`; `.invalid` when another process is at it, or what is there does not fit.
  static func open(
    prefix: String, _ settings: TokenizingSettings, inputs: [TextInput], overwriting: Bool
  ) throws(TokenDataError) -> UnfinishedTokens {
    do throws(TokenDataError) {
      return try UnfinishedTokens(prefix, settings, inputs, isAnew: false)
    } catch {
      if case .file(.io) = error { throw error }
      guard overwriting else { throw error }
      return try UnfinishedTokens(prefix, settings, inputs, isAnew: true)
    }
  }

  private init(
    _ prefix: String, _ settings: TokenizingSettings, _ inputs: [TextInput], isAnew: Bool
  ) throws(TokenDataError) {
    (self.prefix, self.settings) = (prefix, settings)
    element = .forVocabulary(settings.vocabulary.size)
    directory = Self.directory(prefix)
    lock = try Self.lock(directory)
    // What follows may cut off what was published.
    try TokenDataError.from(try FileSystem.remove(directory + "/" + PublishedTokens.name))
    let journal = try Self.journal(directory, settings, inputs, isAnew: isAnew)
    try Self.takeBack(prefix, directory, journal)
    (sources, stamps) = (journal.sources, journal.stamps)
    (binBytes, skippedBytes) = (journal.binBytes, journal.skippedBytes)
    let documents = journal.sources.reduce(0) { $0 + $1.counts.documents }
    bin = try Self.open(directory + "/tokens.bin", keeping: journal.binBytes)
    lengthFile = try Self.open(directory + "/lengths", keeping: 4 * documents)
    skippedFile = try Self.open(directory + "/skipped.jsonl", keeping: journal.skippedBytes)
    binHash = try Self.hash(directory + "/tokens.bin", journal)
    lengths = try Self.lengths(directory + "/lengths", documents)
  }

  /// Where a data set is being made.
  static func directory(_ prefix: String) -> String { prefix + ".unfinished" }

  /// What all sources gave, those that are done and the present one so far.
  var documentCount: Int { lengths.count }

  /// Their tokens.
  var tokenCount: Int { binBytes / element.byteCount }

  // MARK: Opening

  private static func lock(_ directory: String) throws(TokenDataError) -> FileLock {
    try TokenDataError.from { () throws(FileError) in
      try FileSystem.createDirectory(directory)
      // Not the directory itself: replacing the journal locks that for a moment.
      let lock = try FileLock(file: directory + "/lock")
      guard lock.state != .heldElsewhere else {
        throw .invalid(
          path: directory, field: "lock", reason: "another process is writing this data set")
      }
      return lock
    }
  }

  private static func journal(
    _ directory: String, _ settings: TokenizingSettings, _ inputs: [TextInput], isAnew: Bool
  ) throws(TokenDataError) -> TokenizingJournal {
    guard !isAnew, let journal = try TokenizingJournal(directory: directory) else {
      return TokenizingJournal(settings)
    }
    try journal.check(settings, inputs, directory)
    return journal
  }

  /// Undoes the first half of putting a data set in its place, after which the process died.
  private static func takeBack(
    _ prefix: String, _ directory: String, _ journal: TokenizingJournal
  ) throws(TokenDataError) {
    do throws(FileError) {
      guard try !FileSystem.exists(prefix + ".idx") else { return }
      for (name, target, byteCount) in [
        ("/tokens.bin", prefix + ".bin", journal.binBytes),
        ("/skipped.jsonl", skippedPath(prefix), journal.skippedBytes),
      ] where byteCount > 0 {
        guard try !FileSystem.exists(directory + name),
          try FileSystem.byteCount(target) == byteCount
        else { continue }
        try FileSystem.rename(target, to: directory + name)
      }
    } catch {
      throw .file(error)
    }
  }

  private static func open(
    _ path: String, keeping byteCount: Int
  ) throws(TokenDataError) -> AppendedFile {
    do throws(FileError) {
      return try AppendedFile(path: path, keeping: byteCount)
    } catch {
      throw .file(error)
    }
  }

  private static func hash(
    _ path: String, _ journal: TokenizingJournal
  ) throws(TokenDataError) -> XXH64 {
    var hash = XXH64()
    do throws(FileError) {
      let file = try InputFile(path: path)
      let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: 1 << 20, alignment: 64)
      defer { buffer.deallocate() }
      while case let count = try file.read(into: buffer), count > 0 {
        hash.update(UnsafeRawBufferPointer(rebasing: buffer[..<count]))
      }
    } catch {
      throw .file(error)
    }
    guard XXH64.hexadecimal(hash.digest()) == journal.binHash else {
      throw .invalid(path: path, field: "contents", reason: "is damaged: \(TokenizingJournal.anew)")
    }
    return hash
  }

  private static func lengths(_ path: String, _ documents: Int) throws(TokenDataError) -> [Int32] {
    guard documents > 0 else { return [] }
    let file = try TokenDataError.from(try MappedFile(path: path))
    defer { withExtendedLifetime(file) {} }
    return (0..<documents).map {
      Int32(littleEndian: file.bytes.loadUnaligned(fromByteOffset: 4 * $0, as: Int32.self))
    }
  }

  // MARK: Writing

  /// Appends documents.
  func append(_ batch: EncodedBatch) throws(TokenDataError) {
    do throws(FileError) {
      try bin.append(batch.stored)
      batch.stored.withUnsafeBytes { binHash.update($0) }
      binBytes += batch.stored.count
      var bytes: [UInt8] = []
      for length in batch.lengths { bytes.append(littleEndian: length) }
      try lengthFile.append(bytes)
      lengths += batch.lengths
      guard !batch.skipped.isEmpty else { return }
      let lines = batch.skipped.map(\.line).joined()
      try skippedFile.append(Array(lines.utf8))
      skippedBytes += lines.utf8.count
    } catch {
      throw .file(error)
    }
  }

  /// Counts a source as done; a crash may still undo that until `save`.
  func finish(_ source: TokenManifest.Source, _ stamp: FileSystem.Stamp?) {
    sources.append(source)
    stamps.append(stamp)
  }

  /// Makes all sources that are done durable.
  func save() throws(TokenDataError) {
    do throws(FileError) {
      try synchronize()
      var journal = TokenizingJournal(settings)
      (journal.sources, journal.stamps) = (sources, stamps)
      (journal.binBytes, journal.skippedBytes) = (binBytes, skippedBytes)
      journal.binHash = XXH64.hexadecimal(binHash.digest())
      try FileReplacement.write(
        journal.json.encoded(), to: directory + "/" + TokenizingJournal.name)
    } catch {
      throw .file(error)
    }
  }

  /// Lets others read all documents so far, whether their sources are done or not.
  func publish() throws(TokenDataError) {
    do throws(FileError) {
      try synchronize()
      let published = PublishedTokens(documents: lengths.count, tokens: tokenCount)
      try FileReplacement.write(
        published.json.encoded(), to: directory + "/" + PublishedTokens.name)
    } catch {
      throw .file(error)
    }
  }

  private func synchronize() throws(FileError) {
    try bin.synchronize()
    try lengthFile.synchronize()
    try skippedFile.synchronize()
  }

  /// Puts the data set in its place, with its manifest, and removes the directory.
  ///
  /// - Parameters:
  ///   - program: the program's name and version.
  ///   - tokenizerPath: where the tokenizer is; nil for one that is built in.
  /// - Returns: the manifest.
  /// - Throws: `.file`; what was in the place before is there still, and the work can be taken up again.
  func complete(
    program: String, tokenizerPath: String?
  ) throws(TokenDataError) -> TokenManifest {
    try save()
    do throws(FileError) {
      var ready = [prefix + ".bin": directory + "/tokens.bin"]
      var targets = [prefix + ".bin"]
      if skippedBytes > 0 {
        targets.append(Self.skippedPath(prefix))
        ready[Self.skippedPath(prefix)] = directory + "/skipped.jsonl"
      }
      targets += [TokenManifest.path(prefix: prefix), prefix + ".idx"]
      let set = try FileReplacement(targets, ready: ready)
      let index = try MegatronIndex.write(lengths, element, to: set.files[1])
      let manifest = TokenManifest(
        program: program, vocabulary: settings.vocabulary, tokenizerPath: tokenizerPath,
        reading: settings.reading,
        ends: settings.ends, sources: sources,
        tokens: .init(byteCount: binBytes, hash: XXH64.hexadecimal(binHash.digest())), index: index)
      try set.files[0].write(manifest.json.encoded())
      try set.commit()
      if skippedBytes == 0 { try FileSystem.remove(Self.skippedPath(prefix)) }
      try FileSystem.remove(directory)
      return manifest
    } catch {
      throw .file(error)
    }
  }

  /// Where the documents that were left out are named.
  static func skippedPath(_ prefix: String) -> String { prefix + ".skipped.jsonl" }

  /// Removes the directory when no source is done, so that nothing is lost with it.
  func discardIfEmpty() {
    if sources.isEmpty { try? FileSystem.remove(directory) }
  }
}
