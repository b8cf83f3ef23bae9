import TensorStorage

/// Ids that a generated task may have at most; no model has nearly as many.
let largestVocabulary = 1 << 24

/// Which of a task's independent streams of samples is meant.
public enum SampleStream: String, Sendable {
  /// Samples to learn from.
  case training
  /// Samples to be measured on: drawn from other random numbers than the training samples.
  case evaluation
}

/// The key of a task's random numbers: everything a sample depends on but its index.
struct TaskRandomness: Sendable {
  let seed: UInt64
  private let purposeHash: UInt64

  /// Derives the key.
  ///
  /// - Parameters:
  ///   - seed: the run's seed.
  ///   - task: the task's name.
  ///   - options: the task's options, in a canonical spelling.
  ///   - stream: training or evaluation.
  init(seed: UInt64, task: String, options: String, stream: SampleStream) {
    self.seed = seed
    purposeHash = CounterRandom.hash("task/\(task)/\(stream.rawValue)/\(options)")
  }

  /// The generator of sample `index`.
  func generator(_ index: UInt64) -> CounterRandom {
    CounterRandom(seed: seed, purposeHash: purposeHash, index: index)
  }
}
