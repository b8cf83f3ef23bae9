import Foundation
import Logging
import TokenData
import Training

/// A run that writes down every sample that a rank reads, and in which one rank dies at a sample.
struct RecordedRun {
  /// What the samples are written to, with the rank behind it: a line for each, its number in the run,
  /// a colon, and its inputs with the last target.
  let log: String
  /// Who dies; -1 for nobody.
  let rank: Int
  /// From which sample on.
  let sample: UInt64

  /// Reads `LOG RANK SAMPLE`.
  init?(_ arguments: ArraySlice<String>) {
    let words = Array(arguments)
    guard words.count == 3, let rank = Int(words[1]), let sample = UInt64(words[2]) else {
      return nil
    }
    (log, self.rank, self.sample) = (words[0], rank, sample)
  }

  /// Trains, and leaves as `statex-train` does.
  func run(_ recipe: Recipe, _ ranks: Ranks) -> Int32 {
    let path = log + ".rank-\(ranks.rank)"
    guard FileManager.default.createFile(atPath: path, contents: nil),
      let file = FileHandle(forWritingAtPath: path)
    else { return 74 }
    let dies = ranks.rank == rank
    let last = sample
    StepSamples.observer = { number, data in
      let tokens = (Array(data.inputs) + [data.targets[data.targets.count - 1]]).map(String.init)
      // At once, and by one call: a kill leaves whole lines.
      file.write(Data("\(number): \(tokens.joined(separator: " "))\n".utf8))
      if dies && number >= last { kill(getpid(), SIGKILL) }
    }
    do {
      var log = Logger(label: "training-probe")
      log.logLevel = .error
      _ = try TrainingRun(recipe, resume: .auto, ranks: ranks, log: log).run()
      return 0
    } catch {
      return ranks.leave(because: error)
    }
  }
}
