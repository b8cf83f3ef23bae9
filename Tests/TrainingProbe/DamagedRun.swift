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
    /// A parameter becomes NaN.
    case nan
    /// A parameter is NaN in the next step.
    case blink
    /// A first moment becomes infinite.
    case infinity
    /// A gradient is infinite in the next step, whose loss is not.
    case gradient
  }

  let kind: Kind
  /// Whom it happens to; -1 for all.
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
      if rank < 0 || ranks.rank == rank {
        var (isDone, isOver) = (false, ![.blink, .gradient].contains(kind))
        var before: Float = 0
        Communicator.fault = { _ in
          if !isDone && run.lastStep == step {
            isDone = true
            before = run.trainer.parameters.buffer.pointer[middle(run.trainer)]
            damage(run.trainer)
          } else if kind == .gradient && isDone && !isOver && run.lastStep == step {
            // Whenever the step under way looks up, its gradient among those times.
            damage(run.trainer)
          } else if isDone && !isOver && run.lastStep == step + 1 {
            isOver = true
            if kind == .blink {
              run.trainer.parameters.buffer.pointer[middle(run.trainer)] = before
            }
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
    let parameter = trainer.parameters.buffer.pointer + middle(trainer)
    let moment = trainer.optimizer.state[0].values.bytes + 4 * middle(trainer)
    switch kind {
    case .weight: flipBit(UnsafeMutableRawPointer(parameter))
    case .moment: flipBit(moment)
    case .nan, .blink: parameter.pointee = .nan
    case .infinity: moment.storeBytes(of: .infinity, as: Float.self)
    case .gradient: trainer.gradient.pointer[middle(trainer)] = .infinity
    }
  }

  private func middle(_ trainer: Trainer) -> Int { trainer.model.layout.trainableCount / 2 }

  private func flipBit(_ number: UnsafeMutableRawPointer) {
    number.storeBytes(of: number.load(as: UInt8.self) ^ 16, as: UInt8.self)
  }
}
