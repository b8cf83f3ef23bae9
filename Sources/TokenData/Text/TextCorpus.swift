import Compression
import Files
import Foundation
import Synchronization
import Threads

/// Documents that are tokenized in the background while their tokens are used.
///
/// What comes out is the data set that `statex data tokenize` would write, in a directory of the caller's, named
/// after what decides its contents. One process makes it, any number follow it through the file system
/// (`PublishedTokens`).
public final class TextCorpus: @unchecked Sendable {
  /// Bytes at either end of a file that its identity covers.
  private static let edge = 1 << 16

  /// What decides its tokens: the files' formats, sizes and ends, the tokenizer, how they are read.
  public let identity: String
  /// Bytes of the files as they are stored.
  public let byteCount: Int
  /// How many files there are.
  public var fileCount: Int { inputs.count }
  /// Stands for all that decides its tokens.
  public let name: String
  /// The first file, for people.
  public var description: String {
    inputs[0].path + (inputs.count > 1 ? " and \(inputs.count - 1) others" : "")
  }
  /// What makes the ids.
  public let tokenizer: any Tokenizer

  private let inputs: [TextInput]
  private let reading: TextReading
  private var directory: String

  private struct State {
    var progress = TextTokenizer.Progress()
    var failure: TokenDataError?
  }

  private let state = Mutex(State())
  private let isStopping = Atomic(false)
  private let givesWay = Atomic(false)
  /// Signalled when the thread that tokenizes ends.
  private let hasEnded = DispatchSemaphore(value: 0)
  private var isWriting = false

  /// Finds the files and looks at their ends.
  ///
  /// - Parameters:
  ///   - names: files, directories, and patterns, as for `statex data tokenize`.
  ///   - tokenizer: what makes the ids.
  ///   - reading: how documents are taken from the files.
  ///   - directory: where the data set is made; it need not exist yet.
  /// - Throws: `.file`; `.invalid` for names that stand for nothing or for what cannot be read twice;
  ///   `.unsupported` for a tokenizer without an end-of-text id.
  public init(
    _ names: [String], tokenizer: any Tokenizer, reading: TextReading, directory: String
  ) throws(TokenDataError) {
    inputs = try TextInput.resolve(names)
    (self.tokenizer, self.reading, self.directory) = (tokenizer, reading, directory)
    var hash = XXH64()
    var byteCount = 0
    for input in inputs {
      guard try input.stamp() != nil else {
        throw .invalid(
          path: input.path, field: "text",
          reason: "can be read only once: write it to a file, or use `statex data tokenize`")
      }
      let file = try TokenDataError.from(try MappedFile(path: input.path))
      byteCount += file.byteCount
      let edge = min(Self.edge, file.byteCount)
      Array("\(input.format.rawValue) \(file.byteCount) ".utf8).withUnsafeBytes { hash.update($0) }
      hash.update(UnsafeRawBufferPointer(rebasing: file.bytes[..<edge]))
      hash.update(UnsafeRawBufferPointer(rebasing: file.bytes[(file.byteCount - edge)...]))
    }
    self.byteCount = byteCount
    identity =
      "text of \(inputs.count) files, \(byteCount) bytes, \(XXH64.hexadecimal(hash.digest())), field "
      + "\(reading.field), bad input: \(reading.badInput.rawValue), read with \(tokenizer.identity)"
    name = Array(identity.utf8).withUnsafeBytes { XXH64.hexadecimal(XXH64.hash($0)) }
    try work.checkEnds()
  }

  /// The prefix of the data set.
  public var prefix: String { directory + "/" + name }

  private var work: TextTokenizer {
    var work = TextTokenizer(tokenizer: tokenizer, outputPrefix: prefix)
    work.reading = reading
    work.dropsOldWork = true
    work.publishes = true
    work.isStopping = { [unowned self] in isStopping.load(ordering: .relaxed) }
    return work
  }

  /// Whether all documents are tokenized.
  ///
  /// - Throws: `.file`.
  public func isWhole() throws(TokenDataError) -> Bool {
    try TokenDataError.from(try FileSystem.exists(prefix + ".idx"))
  }

  /// Its tokens, once all documents are tokenized.
  ///
  /// - Throws: `.file`, `.invalid`.
  public func tokens() throws(TokenDataError) -> MegatronTokens? {
    try isWhole() ? try MegatronTokens(prefix: prefix) : nil
  }

  /// Its tokens as far as they are published; nil where there are fewer than asked for.
  func publishedTokens(least: Int) throws(TokenDataError) -> MegatronTokens? {
    try MegatronTokens(
      publishedAt: prefix, least: least, element: .forVocabulary(tokenizer.vocabularySize))
  }

  // MARK: Making it

  /// Tokenizes on a thread, unless that is done; interrupted work is taken up.
  ///
  /// Only one process may do so; whoever follows begins after this has returned.
  ///
  /// - Parameter whenDone: called on that thread with the outcome.
  /// - Throws: `.file`, when the directory cannot be made.
  public func startTokenizing(
    whenDone: @escaping (TextTokenizer.Result) -> Void = { _ in }
  ) throws(TokenDataError) {
    guard !isWriting, try !isWhole() else { return }
    try TokenDataError.from { () throws(FileError) in
      try FileSystem.createDirectories(directory)
      try FileSystem.remove(
        UnfinishedTokens.directory(prefix) + "/" + PublishedTokens.name)
    }
    isWriting = true
    let body = { [self] in
      do throws(TokenDataError) {
        whenDone(try work.run(inputs, progress: note))
      } catch {
        state.withLock { $0.failure = error }
      }
      hasEnded.signal()
    }
    // Where the system gives no thread, training waits.
    if !startThread(body) { body() }
  }

  /// Called on the thread that tokenizes.
  private func note(_ progress: TextTokenizer.Progress) {
    state.withLock { $0.progress = progress }
    guard givesWay.exchange(false, ordering: .relaxed) else { return }
    setpriority(__priority_which_t(UInt32(PRIO_PROCESS.rawValue)), 0, 10)
  }

  /// Tokenizes with a low priority from now on: there is something to work on.
  public func giveWay() { givesWay.store(true, ordering: .relaxed) }

  /// How far the work of this process has come.
  public var progress: TextTokenizer.Progress { state.withLock { $0.progress } }

  /// Throws what has ended the work of this process.
  public func check() throws(TokenDataError) {
    if let failure = state.withLock({ $0.failure }) { throw failure }
  }

  /// Leaves the rest of the work to be done later, and returns when it has ended.
  public func stopTokenizing() {
    isStopping.store(true, ordering: .relaxed)
    guard isWriting else { return }
    hasEnded.wait()
    isWriting = false
  }

  /// Makes the data set elsewhere; before anything is started.
  public func move(to directory: String) { self.directory = directory }

  /// Removes a directory that the data set was moved to.
  public func discard(_ directory: String) throws(TokenDataError) {
    guard self.directory == directory else { return }
    try TokenDataError.from(try FileSystem.remove(directory))
  }
}
