import Optimizers

extension Recipe {
  /// How the model is trained.
  public struct Train: Sendable, Equatable {
    /// Arithmetic of the matrix products; everything else is fp32.
    public enum Precision: String, Sendable, Equatable, CaseIterable {
      case fp32, bf16
      /// The fastest one that this machine has.
      case auto
    }

    /// Which parameters are trained.
    public enum Trainable: String, Sendable, Equatable, CaseIterable {
      /// All of them.
      case all
      /// The whole blocks of the layers whose state was expanded; the rest is frozen.
      case expanded
    }

    /// Optimizer steps; required.
    public var steps: Int
    /// Sequences in one step over all ranks, a multiple of `microBatch`; default 8.
    public var sequencesPerStep: Int
    /// Sequences that go through the model together; default 1.
    public var microBatch: Int
    /// Tokens of a sequence whose activations a rank holds at once; gradients are exact for any value;
    /// default 2048.
    public var segmentLength: Int
    /// Bytes of memory that one rank may use; nil (the default) for any number.
    ///
    /// States at segment starts that do not fit are written to `scratch`, or computed again without one.
    public var memoryBudget: Int?
    /// Directory for states that do not fit in memory; nil (the default) writes none.
    public var scratch: String?
    /// Whether gradients stop at segment starts; default false: they are those of the whole sequence.
    public var truncatesBackpropagation: Bool
    /// Probability, in [0, 1], with which a sample begins with the final state of the sample before it
    /// in its lane (the same place in the step before); default 0.
    public var statePassing: Double
    /// Default `auto`.
    public var precision: Precision
    /// Default `all`.
    public var trainable: Trainable
    /// AdamW's settings.
    public var optimizer: Optimizer
    /// How the learning rate moves.
    public var schedule: Schedule

    static let keys = [
      "steps", "sequences_per_step", "micro_batch", "segment_length", "memory_budget", "scratch",
      "truncated_backpropagation", "state_passing", "precision", "trainable", "optimizer",
      "schedule",
    ]

    init(_ reader: RecipeReader) throws(RecipeError) {
      let steps = try reader.integer("steps", .atLeast(1))
      self.steps = steps
      sequencesPerStep = try reader.integer("sequences_per_step", default: 8, .atLeast(1))
      microBatch = try reader.integer("micro_batch", default: 1, .atLeast(1))
      segmentLength = try reader.integer("segment_length", default: 2048, .atLeast(1))
      memoryBudget = try reader.value("memory_budget").map { _ throws(RecipeError) in
        try reader.bytes("memory_budget")
      }
      scratch = try reader.value("scratch").map { _ throws(RecipeError) in
        try reader.text("scratch")
      }
      truncatesBackpropagation = try reader.flag("truncated_backpropagation", default: false)
      statePassing = try reader.number("state_passing", default: 0, .between(0, 1))
      precision = try reader.choice("precision", default: .auto)
      trainable = try reader.choice("trainable", default: .all)
      optimizer = try reader.section("optimizer", keys: Optimizer.keys, Optimizer.init)
      schedule = try reader.section("schedule", keys: Schedule.keys) {
        (section) throws(RecipeError) in try Schedule(section, steps: steps)
      }
      guard sequencesPerStep.isMultiple(of: microBatch) else {
        throw reader.invalid(
          "sequences_per_step",
          "must be a multiple of micro_batch (\(microBatch)), found \(sequencesPerStep)")
      }
    }

    var value: RecipeValue {
      .mapping([
        ("steps", .integer(steps)), ("sequences_per_step", .integer(sequencesPerStep)),
        ("micro_batch", .integer(microBatch)), ("segment_length", .integer(segmentLength)),
        ("memory_budget", memoryBudget.map(RecipeValue.integer)),
        ("scratch", scratch.map(RecipeValue.text)),
        ("truncated_backpropagation", .flag(truncatesBackpropagation)),
        ("state_passing", .number(statePassing)), ("precision", .text(precision.rawValue)),
        ("trainable", .text(trainable.rawValue)),
        ("optimizer", optimizer.value), ("schedule", schedule.value),
      ])
    }
  }

  /// AdamW's settings.
  public struct Optimizer: Sendable, Equatable {
    /// Learning rate after warm-up, above 0; default 3e-4.
    public var learningRate: Double
    /// Learning rate at the end of a decaying schedule, at most `learningRate`; default 0.
    public var minimumLearningRate: Double
    /// Decay of the first moment, in [0, 1); default 0.9.
    public var beta1: Double
    /// Decay of the second moment, in [0, 1); default 0.95.
    public var beta2: Double
    /// Added to the root of the second moment, above 0; default 1e-8.
    public var epsilon: Double
    /// Decoupled weight decay of parameters with two or more dimensions, at least 0; default 0.1.
    public var weightDecay: Double
    /// Largest global gradient norm; 0 clips nothing; default 1.
    public var gradientClip: Double
    /// How the two moments are stored: `fp32`, or `bf16` with stochastic rounding; default `fp32`.
    public var moments: MomentPrecision

    static let keys = ["lr", "min_lr", "betas", "eps", "weight_decay", "grad_clip", "moments"]

    init(_ reader: RecipeReader) throws(RecipeError) {
      learningRate = try reader.number("lr", default: 3e-4, .above(0))
      minimumLearningRate = try reader.number("min_lr", default: 0, .between(0, learningRate))
      let betas = try reader.numbers("betas", default: [0.9, 0.95], .from(0, below: 1))
      (beta1, beta2) = (betas[0], betas[1])
      epsilon = try reader.number("eps", default: 1e-8, .above(0))
      weightDecay = try reader.number("weight_decay", default: 0.1, .atLeast(0))
      gradientClip = try reader.number("grad_clip", default: 1, .atLeast(0))
      moments = try reader.choice("moments", default: .fp32)
    }

    var value: RecipeValue {
      .mapping([
        ("lr", .number(learningRate)), ("min_lr", .number(minimumLearningRate)),
        ("betas", .list([.number(beta1), .number(beta2)])), ("eps", .number(epsilon)),
        ("weight_decay", .number(weightDecay)), ("grad_clip", .number(gradientClip)),
        ("moments", .text(moments.rawValue)),
      ])
    }
  }

  /// How the learning rate moves.
  public struct Schedule: Sendable, Equatable {
    /// The shape after warm-up.
    public enum Kind: Sendable, Equatable {
      case cosine, constant, linear
      /// Constant, then down over the last `decaySteps` steps.
      case wsd(decaySteps: Int)
    }

    private enum Word: String, CaseIterable {
      case cosine, wsd, constant, linear
    }

    /// Default `cosine`.
    public var kind: Kind
    /// Steps over which the rate rises linearly, at most `train.steps`; default: one step in twenty,
    /// at most 1000.
    ///
    /// The default of a run of one step is 1: a falling rate would be `minimumLearningRate` in it.
    public var warmupSteps: Int

    static let keys = ["kind", "warmup_steps", "decay_steps"]

    init(_ reader: RecipeReader, steps: Int) throws(RecipeError) {
      let warmup = try reader.integer(
        "warmup_steps", default: steps == 1 ? 1 : min(1000, steps / 20), .between(0, steps))
      warmupSteps = warmup
      let word = try reader.choice("kind", default: Word.cosine)
      guard word == .wsd || reader.value("decay_steps") == nil else {
        throw reader.invalid("decay_steps", "only for `kind: wsd`, found `\(word.rawValue)`")
      }
      switch word {
      case .cosine: kind = .cosine
      case .constant: kind = .constant
      case .linear: kind = .linear
      case .wsd:
        let standard = min(steps / 10, steps - warmup)
        kind = .wsd(
          decaySteps: try reader.integer(
            "decay_steps", default: standard, .between(0, steps - warmup)))
      }
    }

    var value: RecipeValue {
      let (word, decaySteps): (Word, Int?) =
        switch kind {
        case .cosine: (.cosine, nil)
        case .constant: (.constant, nil)
        case .linear: (.linear, nil)
        case .wsd(let decaySteps): (.wsd, decaySteps)
        }
      return .mapping([
        ("kind", .text(word.rawValue)), ("warmup_steps", .integer(warmupSteps)),
        ("decay_steps", decaySteps.map(RecipeValue.integer)),
      ])
    }
  }
}
