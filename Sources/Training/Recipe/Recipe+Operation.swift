extension Recipe {
  /// How the work is divided.
  ///
  /// It changes no number while `isReproducible` holds, but for `sequenceRanks`, which changes roundings.
  public struct Parallel: Sendable, Equatable {
    /// What is sharded over the ranks.
    public enum OptimizerSharding: String, Sendable, Equatable, CaseIterable {
      /// Every rank holds all moments.
      case none
      /// Every rank holds its share of the moments.
      case zero1
    }

    /// Threads of one rank; nil (`auto`, the default) divides the machine's cores by its ranks.
    public var threadsPerRank: Int?
    /// Default `none`.
    public var optimizerSharding: OptimizerSharding
    /// Whether sums run in one fixed order, whatever the number of ranks; default true.
    public var isReproducible: Bool
    /// Consecutive ranks that share each sequence, a divisor of the number of ranks; default 1.
    public var sequenceRanks: Int
    /// Whether ranks exchange gradients while backward still runs (with `isReproducible` only; changes
    /// no number); default true.
    public var overlaps: Bool

    static let keys = [
      "threads_per_rank", "optimizer_sharding", "reproducible", "sequence_ranks", "overlap",
    ]

    init(_ reader: RecipeReader) throws(RecipeError) {
      if let value = reader.value("threads_per_rank"), value.kind != .text("auto") {
        guard case .integer = value.kind else {
          throw .wrongType(
            place: value.place, path: reader.path(of: "threads_per_rank"),
            expected: "auto or an integer", found: value.summary)
        }
        threadsPerRank = try reader.integer("threads_per_rank", .between(1, 4096))
      } else {
        threadsPerRank = nil
      }
      optimizerSharding = try reader.choice(
        "optimizer_sharding", default: OptimizerSharding.none)
      isReproducible = try reader.flag("reproducible", default: true)
      sequenceRanks = try reader.integer("sequence_ranks", default: 1, .atLeast(1))
      overlaps = try reader.flag("overlap", default: true)
    }

    var value: RecipeValue {
      .mapping([
        ("threads_per_rank", threadsPerRank.map(RecipeValue.integer) ?? .text("auto")),
        ("optimizer_sharding", .text(optimizerSharding.rawValue)),
        ("reproducible", .flag(isReproducible)), ("sequence_ranks", .integer(sequenceRanks)),
        ("overlap", .flag(overlaps)),
      ])
    }
  }

  /// When the run is saved, besides at its end and on a signal.
  public struct Checkpoint: Sendable, Equatable {
    /// Steps between two checkpoints; 0 saves at the end only; default 1000.
    public var every: Int
    /// Checkpoints kept, at least 1; the oldest is deleted after a newer one is complete; default 3.
    public var keep: Int

    static let keys = ["every", "keep"]

    init(_ reader: RecipeReader) throws(RecipeError) {
      every = try reader.integer("every", default: 1000, .atLeast(0))
      keep = try reader.integer("keep", default: 3, .atLeast(1))
    }

    var value: RecipeValue {
      .mapping([("every", .integer(every)), ("keep", .integer(keep))])
    }
  }

  /// What is measured during training.
  public struct Evaluation: Sendable, Equatable {
    /// Mean loss on stored text.
    public struct Perplexity: Sendable, Equatable {
      /// Megatron prefix of the text; required.
      public var tokens: String
      /// Tokens predicted in one sequence; default: `data.sequence_length`.
      public var sequenceLength: Int
    }

    /// Steps between two evaluations; 0 evaluates never; default 1000.
    public var every: Int
    /// A recall task to score.
    public struct TaskPlan: Sendable, Equatable {
      /// Which task, with its options.
      public var task: Task
      /// Samples to score; default 64.
      public var samples: Int
      /// Tokens of a sample; default: `data.sequence_length`.
      public var sequenceLength: Int

      private static let keys = ["samples", "sequence_length"]

      init(_ value: RecipeValue, path: String, sequenceLength: Int) throws(RecipeError) {
        var mapping = value
        if case .text = value.kind {
          let name = RecipeValue.Entry("task", value, place: value.place)
          mapping = RecipeValue(.mapping([name]), place: value.place)
        }
        let reader = try RecipeReader(mapping, path: path, keys: nil)
        task = try Task(reader, besides: Self.keys)
        samples = try reader.integer("samples", default: 64, .atLeast(1))
        self.sequenceLength = try reader.integer(
          "sequence_length", default: sequenceLength, .atLeast(1))
      }

      var value: RecipeValue {
        task.value(with: [
          RecipeValue.Entry("samples", .integer(samples)),
          RecipeValue.Entry("sequence_length", .integer(sequenceLength)),
        ])
      }
    }

    /// Recall tasks to score, each a name or `{task: name, samples: n, sequence_length: n,
    /// ...options}`; default none.
    public var tasks: [TaskPlan]
    /// Text to measure the perplexity of; nil (default) measures none.
    public var perplexity: Perplexity?

    static let keys = ["every", "tasks", "perplexity"]

    init(_ reader: RecipeReader, sequenceLength: Int) throws(RecipeError) {
      every = try reader.integer("every", default: 1000, .atLeast(0))
      tasks = []
      for (value, path) in try reader.list("tasks", default: []) {
        tasks.append(try TaskPlan(value, path: path, sequenceLength: sequenceLength))
      }
      perplexity = try reader.optionalSection("perplexity", keys: ["tokens", "sequence_length"]) {
        (section) throws(RecipeError) in
        Perplexity(
          tokens: try section.text("tokens"),
          sequenceLength: try section.integer(
            "sequence_length", default: sequenceLength, .atLeast(1)))
      }
    }

    var value: RecipeValue {
      let perplexityValue = perplexity.map { perplexity in
        RecipeValue.mapping([
          ("tokens", .text(perplexity.tokens)),
          ("sequence_length", .integer(perplexity.sequenceLength)),
        ])
      }
      return .mapping([
        ("every", .integer(every)),
        ("tasks", .list(tasks.map(\.value))),
        ("perplexity", perplexityValue),
      ])
    }
  }

  /// What is logged.
  public struct Metrics: Sendable, Equatable {
    /// Whether TensorBoard event files are written beside `metrics.jsonl`; default true.
    public var tensorboard: Bool
    /// Steps between two logged steps, at least 1; default 1.
    public var logEvery: Int

    static let keys = ["tensorboard", "log_every"]

    init(_ reader: RecipeReader) throws(RecipeError) {
      tensorboard = try reader.flag("tensorboard", default: true)
      logEvery = try reader.integer("log_every", default: 1, .atLeast(1))
    }

    var value: RecipeValue {
      .mapping([("tensorboard", .flag(tensorboard)), ("log_every", .integer(logEvery))])
    }
  }
}
