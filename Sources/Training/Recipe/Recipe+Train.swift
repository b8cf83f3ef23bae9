import Fields
import Optimizers

extension Recipe {
  /// How the model is trained.
  public struct Train: Sendable, Equatable, FieldSection {
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

    /// Tokens of a micro-batch at most.
    static let mostTokens = 1 << 36
    /// Sequences of a step at most.
    static let mostSequences = 1 << 20
    /// Sequences of a step whose states are passed on at most: a checkpoint holds each by its name.
    static let mostLanes = 1 << 16

    /// Optimizer steps; required.
    public var steps = 0
    /// Sequences in one step over all ranks, a multiple of `microBatch`; default 8.
    public var sequencesPerStep = 8
    /// Sequences that go through the model together; default 1.
    public var microBatch = 1
    /// Tokens of a sequence whose activations a rank holds at once; gradients are exact for any value;
    /// default 2048.
    public var segmentLength = 2048
    /// Bytes of memory that one rank may use; nil (the default) for any number.
    ///
    /// States at segment starts that do not fit are written to `scratch`, or computed again without one.
    public var memoryBudget: Int?
    /// Directory for states that do not fit in memory; nil (the default) writes none.
    public var scratch: String?
    /// Whether gradients stop at segment starts; default false: they are those of the whole sequence.
    public var truncatesBackpropagation = false
    /// Probability, in [0, 1], with which a sample begins with the final state of the sample before it
    /// in its lane (the same place in the step before); default 0.
    public var statePassing = 0.0
    /// Default `auto`.
    public var precision = Precision.auto
    /// Default `all`.
    public var trainable = Trainable.all
    /// AdamW's settings.
    public var optimizer = Optimizer()
    /// An optimizer in AdamW's place, which no key names; nil for AdamW.
    package var otherOptimizer: AnyOptimizerConfiguration?
    /// How the learning rate moves.
    public var schedule = Schedule(steps: 0)
    /// What happens when the loss or the gradient cannot be right.
    public var onSpike = OnSpike()

    package static var fields: [Field<Train>] {
      [
        .integer(
          "steps", \.steps, .atLeast(1), unit: "optimizer steps", "length of the run"),
        .integer(
          "sequences_per_step", \.sequencesPerStep, .between(1, mostSequences), unit: "sequences",
          standard: "8", also: ", a multiple of `micro_batch`; with `state_passing` at most 65536",
          "sequences of a step, over all ranks"),
        .integer(
          "micro_batch", \.microBatch, .atLeast(1), unit: "sequences", standard: "1",
          "sequences that go through the model together"),
        .integer(
          "segment_length", \.segmentLength, .atLeast(1), unit: "tokens of a rank",
          standard: "2048", "tokens of a sequence whose activations a rank holds at once"),
        memoryBudget, scratch,
        .flag(
          "truncated_backpropagation", \.truncatesBackpropagation, standard: "false",
          "stop gradients at segment starts"),
        .number(
          "state_passing", \.statePassing, .between(0, 1), unit: "probability", standard: "0",
          "how often a sample begins with its lane's last state"),
        .choice("precision", \.precision, standard: "`auto`", "arithmetic of the matrix products"),
        .choice("trainable", \.trainable, standard: "`all`", "which parameters are trained"),
        .section("optimizer", \.optimizer), .section("schedule", \.schedule),
        .section("on_spike", \.onSpike),
      ]
    }

    private static var memoryBudget: Field<Train> {
      let key = "memory_budget"
      let description = FieldKey(
        path: key, type: "bytes, or text such as `4GB`, `3.5GiB`", unit: "of one rank",
        standard: "none", range: ">= 1", meaning: "what a rank may hold in arrays")
      return Field(description) { (train, reader) throws(FieldError) in
        train.memoryBudget = reader.value(key) == nil ? nil : try reader.bytes(key)
      } write: {
        $0.memoryBudget.map(FieldValue.integer)
      }
    }

    private static var scratch: Field<Train> {
      let description = FieldKey(
        path: "scratch", type: "path", unit: "a directory", standard: "none",
        range: "must exist", meaning: "where states go that do not fit the budget")
      return Field(description) { (train, reader) throws(FieldError) in
        train.scratch = reader.value("scratch") == nil ? nil : try reader.text("scratch")
      } write: {
        $0.scratch.map(FieldValue.text)
      }
    }

    init(_ reader: FieldReader) throws(FieldError) {
      // The schedule's defaults and ranges follow from the number of steps.
      schedule = Schedule(steps: try reader.integer("steps", .atLeast(1)))
      try read(reader)
      guard sequencesPerStep.isMultiple(of: microBatch) else {
        throw reader.invalid(
          "sequences_per_step",
          "must be a multiple of micro_batch (\(microBatch)), found \(sequencesPerStep)")
      }
      guard statePassing == 0 || sequencesPerStep <= Self.mostLanes else {
        throw reader.invalid(
          "sequences_per_step",
          "must be at most \(Self.mostLanes) with state_passing, found \(sequencesPerStep)")
      }
    }
  }

  /// AdamW's settings.
  public struct Optimizer: Sendable, Equatable, FieldSection {
    /// Learning rate after warm-up, above 0; default 3e-4.
    public var learningRate = 3e-4
    /// Learning rate at the end of a decaying schedule, at most `learningRate`; default 0.
    public var minimumLearningRate = 0.0
    /// Decay of the first moment, in [0, 1); default 0.9.
    public var beta1 = 0.9
    /// Decay of the second moment, in [0, 1); default 0.95.
    public var beta2 = 0.95
    /// Added to the root of the second moment, above 0; default 1e-8.
    public var epsilon = 1e-8
    /// Decoupled weight decay of parameters with two or more dimensions, at least 0; default 0.1.
    public var weightDecay = 0.1
    /// Largest global gradient norm; 0 clips nothing; default 1.
    public var gradientClip = 1.0
    /// How the two moments are stored: `fp32`, or `bf16` with stochastic rounding; default `fp32`.
    public var moments = MomentPrecision.fp32

    package static var fields: [Field<Optimizer>] {
      [
        .number("lr", \.learningRate, .above(0), standard: "3e-4", "peak learning rate"),
        minimum, betas,
        .number(
          "eps", \.epsilon, .above(0), standard: "1e-8", "added to the second moment's root"),
        .number(
          "weight_decay", \.weightDecay, .atLeast(0), standard: "0.1",
          "decoupled, of parameters of two or more dimensions"),
        .number(
          "grad_clip", \.gradientClip, .atLeast(0), standard: "1", also: "; 0 clips nothing",
          "largest global gradient norm"),
        .choice("moments", \.moments, standard: "`fp32`", "how both moments are stored"),
      ]
    }

    private static var minimum: Field<Optimizer> {
      let description = FieldKey(
        path: "min_lr", type: "number", standard: "0", range: "0 to `lr`",
        meaning: "learning rate at the end of a schedule that falls")
      return Field(description) { (optimizer, reader) throws(FieldError) in
        optimizer.minimumLearningRate = try reader.number(
          "min_lr", default: 0, .between(0, optimizer.learningRate))
      } write: {
        .number($0.minimumLearningRate)
      }
    }

    private static var betas: Field<Optimizer> {
      let description = FieldKey(
        path: "betas", type: "list of 2 numbers", standard: "[0.9, 0.95]", range: ">= 0 and < 1",
        meaning: "decay of the first and the second moment")
      return Field(description) { (optimizer, reader) throws(FieldError) in
        let betas = try reader.numbers(
          "betas", count: 2, default: [optimizer.beta1, optimizer.beta2], .from(0, below: 1))
        (optimizer.beta1, optimizer.beta2) = (betas[0], betas[1])
      } write: {
        .list([.number($0.beta1), .number($0.beta2)])
      }
    }
  }

  /// How the learning rate moves.
  public struct Schedule: Sendable, Equatable, FieldSection {
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
    public var kind = Kind.cosine
    /// Steps over which the rate rises linearly, at most `train.steps`; default: one step in twenty,
    /// at most 1000.
    ///
    /// The default of a run of one step is 1: a falling rate would be `minimumLearningRate` in it.
    public var warmupSteps: Int

    /// `train.steps`, which bounds the others.
    private let steps: Int

    /// The defaults for a run of that many steps.
    init(steps: Int) {
      self.steps = steps
      warmupSteps = steps == 1 ? 1 : min(1000, steps / 20)
    }

    package static var fields: [Field<Schedule>] { [shape, warmup, decay] }

    private static var shape: Field<Schedule> {
      let description = FieldKey(
        path: "kind", type: "word", standard: "`cosine`",
        range: Field<Schedule>.words(Word.self),
        meaning: "shape of the learning rate after warm-up")
      return Field(description) { (schedule, reader) throws(FieldError) in
        schedule.kind =
          switch try reader.choice("kind", default: Word.cosine) {
          case .cosine: .cosine
          case .constant: .constant
          case .linear: .linear
          case .wsd: .wsd(decaySteps: 0)
          }
      } write: {
        .text($0.word.rawValue)
      }
    }

    private static var warmup: Field<Schedule> {
      let description = FieldKey(
        path: "warmup_steps", type: "integer", unit: "steps",
        standard: "steps / 20, at most 1000; 1 for one step",
        range: "0 to `steps`", meaning: "steps over which the rate rises linearly")
      return Field(description) { (schedule, reader) throws(FieldError) in
        schedule.warmupSteps = try reader.integer(
          "warmup_steps", default: schedule.warmupSteps, .between(0, schedule.steps))
      } write: {
        .integer($0.warmupSteps)
      }
    }

    private static var decay: Field<Schedule> {
      let description = FieldKey(
        path: "decay_steps", type: "integer", unit: "steps", standard: "steps / 10",
        range: "0 to steps - warmup; only with `wsd`",
        meaning: "steps at the end over which the rate falls")
      return Field(description) { (schedule, reader) throws(FieldError) in
        guard case .wsd = schedule.kind else {
          guard reader.value("decay_steps") == nil else {
            throw reader.invalid(
              "decay_steps", "only for `kind: wsd`, found `\(schedule.word.rawValue)`")
          }
          return
        }
        let most = schedule.steps - schedule.warmupSteps
        schedule.kind = .wsd(
          decaySteps: try reader.integer(
            "decay_steps", default: min(schedule.steps / 10, most), .between(0, most)))
      } write: {
        if case .wsd(let steps) = $0.kind { .integer(steps) } else { nil }
      }
    }

    private var word: Word {
      switch kind {
      case .cosine: .cosine
      case .constant: .constant
      case .linear: .linear
      case .wsd: .wsd
      }
    }
  }
}
