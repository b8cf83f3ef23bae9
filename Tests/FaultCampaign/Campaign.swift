import ChildPrograms
import Foundation
import Synchronization

/// What all marks of a campaign share.
struct Campaign: Sendable {
  /// How a mark ended.
  enum Outcome {
    /// Trials were made.
    case tried(Tally)
    /// This machine cannot make them, for the reason given.
    case skipped(String)
    /// Another test of this repository makes them.
    case elsewhere(String)
    /// They could not even begin.
    case failed(String)
  }

  /// Everything that is left to chance follows from it.
  let seed: UInt64
  /// Whether fewer trials are enough.
  let isShort: Bool

  /// How many trials are made at a time.
  private static let lanes = 2

  /// How many trials to make.
  func count(_ full: Int, short: Int) -> Int { isShort ? short : full }

  /// Makes the trials of a mark, two at a time.
  func trials(
    _ mark: String, _ count: Int, _ body: @Sendable (Trial) throws -> Void
  ) -> Outcome {
    let next = Mutex(0)
    let tally = Mutex(Tally(planned: count))
    DispatchQueue.concurrentPerform(iterations: Self.lanes) { _ in
      while true {
        let index = next.withLock { index in
          defer { index += 1 }
          return index
        }
        guard index < count else { return }
        let trial = Trial(mark: mark, index: index, seed: seed)
        do {
          try body(trial)
        } catch {
          trial.check("carried out", false, "\(error)")
        }
        tally.withLock { $0.add(trial) }
      }
    }
    return .tried(tally.withLock { $0 })
  }
}

/// A kind of fault, and what has to be seen of it.
struct Mark: Sendable {
  /// As in the list of marks, for example `F1`.
  let id: String
  /// What is done.
  let title: String
  /// Does it.
  let run: @Sendable (Campaign) throws -> Campaign.Outcome

  /// The number in its name.
  var number: Int { Int(id.dropFirst()) ?? 0 }
}

/// The campaign cannot go on.
struct CampaignError: Error, CustomStringConvertible {
  let description: String
}
