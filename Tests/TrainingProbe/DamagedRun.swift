import Collectives
import Foundation
import Logging
import Training

/// A run in whose memory something happens to one rank after a step.
struct DamagedRun {
  /// What is damaged.
  enum Kind: String {
    /// A bit of a parameter.
    case weight
    /// A bit of a first moment.
    case moment
  }

  let kind: Kind
  let rank: Int
  let step: Int

  /// Reads `KIND RANK STEP`.
  init?(_ arguments: ArraySlice<String>) {
    let words = Array(arguments)
    guard words.count == 3, let kind = Kind(rawValue: words[0]), let rank = Int(words[1]),
      let step = Int(words[2])
    else { return nil }
    (self.kind, self.rank, self.step) = (kind, rank, step)
  }

  /// Trains, and leaves as `statex-train` does.
  func run(_ recipe: Recipe, _ ranks: Ranks) -> Int32 {
    do {
      var log = Logger(label: "training-probe")
      log.logLevel = .warning
      let run = try TrainingRun(recipe, resume: .auto, ranks: ranks, log: log)
      if ranks.rank == rank {
        var isDone = false
        Communicator.fault = { _ in
          if !isDone && run.lastStep == step {
            isDone = true
            damage(run.trainer)
          }
          return nil
        }
      }
      _ = try run.run()
      return 0
    } catch {
      return ranks.leave(because: error)
    }
  }

  private func damage(_ trainer: Trainer) {
    let middle = trainer.model.layout.trainableCount / 2
    switch kind {
    case .weight: flipLowestBit(UnsafeMutableRawPointer(trainer.parameters.buffer.pointer + middle))
    case .moment: flipLowestBit(trainer.optimizer.state[0].values.bytes + 4 * middle)
    }
  }

  private func flipLowestBit(_ number: UnsafeMutableRawPointer) {
    number.storeBytes(of: number.load(as: UInt8.self) ^ 1, as: UInt8.self)
  }
}
