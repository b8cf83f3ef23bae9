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
    self.recorded = recorded
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

  /// By fingerprint, the hashes of the files that were gone through so far, and of those recorded before.
  var found: [String: String] { state.withLock { $0.found } }

  /// Throws once a file is not what it was.
  func check() throws(TokenDataError) {
    if let failure = state.withLock({ $0.failure }) { throw failure }
  }
}
