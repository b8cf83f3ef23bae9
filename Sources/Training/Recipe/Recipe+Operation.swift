import Checkpointing
import Fields

extension Recipe {
  /// How the work is divided.
  ///
  /// It changes no number while `isReproducible` holds, but for `sequenceRanks`, which changes roundings.
  public struct Parallel: Sendable, Equatable, FieldSection {
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
    public var optimizerSharding = OptimizerSharding.none
    /// Whether sums run in one fixed order, whatever the number of ranks; default true.
    public var isReproducible = true
    /// Consecutive ranks that share each sequence, a divisor of the number of ranks; default 1.
    public var sequenceRanks = 1
    /// Whether ranks exchange gradients while backward still runs (with `isReproducible` only; changes
    /// no number); default true.
    public var overlaps = true
    /// Steps between two comparisons of what every rank holds a copy of; with `zero1` in every step if not
    /// 0; 0 compares only before saving; default 10.
    public var verifyEvery = 10

    package static var fields: [Field<Parallel>] {
      [
        threads,
        .choice(
          "optimizer_sharding", \.optimizerSharding, standard: "`none`",
          "what is sharded over ranks"),
        .flag(
          "reproducible", \.isReproducible, standard: "true", "sum gradients in one fixed order"),
        .integer(
          "sequence_ranks", \.sequenceRanks, .atLeast(1), standard: "1",
          also: ", divides the ranks",
          "ranks that share each sequence"),
        .flag(
          "overlap", \.overlaps, standard: "true", "exchange gradients while backward runs"),
        .integer(
          "verify_every", \.verifyEvery, .atLeast(0), unit: "steps", standard: "10",
          "steps between comparisons of all ranks' copies; 0: only before saving"),
      ]
    }

    private static var threads: Field<Parallel> {
      let key = "threads_per_rank"
      let description = FieldKey(
        path: key, type: "integer or `auto`", standard: "`auto`", range: "1 to 4096",
        meaning: "threads of one rank")
      return Field(description) { (parallel, reader) throws(FieldError) in
        guard let value = reader.value(key), value.kind != .text("auto") else { return }
        guard case .integer = value.kind else {
          throw reader.wrongType(key, value, expected: "auto or an integer")
        }
        parallel.threadsPerRank = try reader.integer(key, .between(1, 4096))
      } write: {
        $0.threadsPerRank.map(FieldValue.integer) ?? .text("auto")
      }
    }
  }

  /// When the run is saved, besides at its end and on a signal.
  public struct Checkpoint: Sendable, Equatable, FieldSection {
    /// What a run does that cannot save.
    public enum OnFailure: String, Sendable, Equatable, CaseIterable {
      /// Warn, train on, and try again.
      case `continue`
      /// End.
      case stop
    }

    /// Steps between two checkpoints; 0 saves at the end only; default 1000.
    public var every = 1000
    /// Time after which a checkpoint is due whatever the number of steps; default nil (`off`).
    public var interval: RecipeDuration?
    /// Checkpoints kept, at least 1; the oldest is deleted after a newer one is complete; default 3.
    public var keep = 3
    /// Checkpoints of multiples of that many steps are never deleted; 0, the default, for none.
    public var keepEvery = 0
    /// Whether training goes on while a checkpoint is written; default true.
    public var isAsynchronous = true
    /// Default `continue`.
    public var onFailure = OnFailure.continue

    /// Which checkpoints stay.
    var retention: Retention { Retention(newest: keep, every: keepEvery > 0 ? keepEvery : nil) }

    package static var fields: [Field<Checkpoint>] {
      [
        .integer(
          "every", \.every, .atLeast(0), unit: "steps", standard: "1000",
          "steps between checkpoints; 0: at the end only"),
        .duration(
          "interval", \.interval, standard: "`off`", "time between checkpoints, beside `every`"),
        .integer(
          "keep", \.keep, .atLeast(1), unit: "checkpoints", standard: "3",
          "how many are kept, the newest"),
        .integer(
          "keep_every", \.keepEvery, .atLeast(0), unit: "steps", standard: "0",
          "checkpoints of multiples of it are never deleted; 0: none"),
        .flag(
          "asynchronous", \.isAsynchronous, standard: "true",
          "train on while a checkpoint is written"),
        .choice(
          "on_failure", \.onFailure, standard: "`continue`",
          "when a checkpoint cannot be written: warn, train on and try again, or end"),
      ]
    }
  }

  /// What is logged.
  public struct Metrics: Sendable, Equatable, FieldSection {
    /// Whether TensorBoard event files are written beside `metrics.jsonl`; default true.
    public var tensorboard = true
    /// Steps between two logged steps, at least 1; default 1.
    public var logEvery = 1

    package static var fields: [Field<Metrics>] {
      [
        .flag(
          "tensorboard", \.tensorboard, standard: "true", "also write TensorBoard event files"),
        .integer(
          "log_every", \.logEvery, .atLeast(1), unit: "steps", standard: "1",
          "steps between logged steps; step 1 is always logged"),
      ]
    }
  }
}
