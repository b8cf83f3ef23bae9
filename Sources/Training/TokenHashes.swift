import Foundation
import Synchronization
import Threads
import TokenData

/// Hashes whole token files while a run trains, on a thread that gives way to everything else.
///
/// A file that was changed in the middle keeps its size, its index and its ends, which is what is compared
/// at the start (`DatasetFingerprint`). This finds it: against the manifest that was written with the file, and
/// against what the run's checkpoints recorded.
final class TokenHashes: Sendable {
  private struct State {
    /// By fingerprint, the hashes of files that were gone through.
    var found: [String: String]
    var failure: TokenDataError?
  }

  private let files: [WholeTokenFile]
  private let recorded: [String: String]
  private let texts: RunTexts
  private let state: Mutex<State>
  private let isStopping = Atomic(false)

  /// Prepares to hash the files of a run's sources.
  ///
  /// - Parameters:
  ///   - data: the run's data.
  ///   - recorded: by fingerprint, what a checkpoint says.
  init(_ data: RunData, recorded: [String: String]) {
    var seen: Set<String> = []
    files = data.files
      .filter { seen.insert($0.tokenFile).inserted }.map(\.wholeFile)
    (self.recorded, texts) = (recorded, data.texts)
    state = Mutex(State(found: recorded))
  }

  /// Starts the thread; without one nothing is hashed.
  func start() {
    guard !files.isEmpty else { return }
    _ = startThread { [self] in
      setpriority(__priority_which_t(UInt32(PRIO_PROCESS.rawValue)), 0, 19)
      for file in files {
        guard let hash = file.hash(isStopping: { isStopping.load(ordering: .relaxed) })
        else { return }
        note(file, hash)
      }
    }
  }

  /// Ends the thread soon.
  func stop() { isStopping.store(true, ordering: .relaxed) }

  private func note(_ file: WholeTokenFile, _ hash: String) {
    let fingerprint = file.fingerprint.description
    let expected = [
      (file.recorded, "its manifest records"),
      (recorded[fingerprint], "this run's checkpoint records"),
    ]
    state.withLock { state in
      state.found[fingerprint] = hash
      for case (let was?, let who) in expected where was != hash && state.failure == nil {
        state.failure = .invalid(
          path: file.path, field: "contents",
          reason:
            "XXH64 is \(hash), and \(who) \(was): the tokens were changed; put the file back, "
            + "or make the data set again and begin another run")
      }
    }
  }

  /// By fingerprint, the hashes of the files that were gone through so far, and of those recorded before; also
  /// those of text that the run has tokenized.
  var found: [String: String] {
    state.withLock { $0.found }.merging(texts.tokenHashes) { _, now in now }
  }

  /// Throws once a file is not what it was.
  func check() throws(TokenDataError) {
    for (name, hash) in texts.tokenHashes {
      guard let was = recorded[name], was != hash else { continue }
      throw .invalid(
        path: texts.prefix(of: name), field: "contents",
        reason:
          "the text gave tokens of XXH64 \(hash), and this run's checkpoint records \(was): it was "
          + "changed; put the files back and remove the tokens, or begin another run")
    }
    if let failure = state.withLock({ $0.failure }) { throw failure }
  }
}
