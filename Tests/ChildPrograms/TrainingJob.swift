import Foundation
import TokenData

/// A recipe of seconds, and the built trainer to run it.
public final class TrainingJob {
  /// How many processes, and who starts them.
  public enum Launch: CustomStringConvertible, Sendable {
    /// One process without a launcher.
    case alone
    /// That many ranks under mpirun.
    case ranks(Int)
    /// One rank under mpirun, which binds it to a core.
    case bound

    /// As the tests name it.
    public var description: String {
      switch self {
      case .alone: "no launcher"
      case .ranks(let count): "\(count) ranks"
      case .bound: "one bound rank"
      }
    }

    /// The command that starts a program so.
    public func command(_ program: [String]) -> [String] {
      switch self {
      case .alone: program
      case .ranks(let count): ["mpirun", "--oversubscribe", "-n", String(count)] + program
      case .bound: ["mpirun", "-n", "1", "--bind-to", "core"] + program
      }
    }
  }

  /// What a finished run leaves.
  public struct Outcome: Equatable, Sendable {
    /// Step, loss and gradient norm of every row, as text.
    public let rows: [String]
    /// The exported weights, byte for byte.
    public let weights: Data
  }

  /// Where the products of this build are: beside the running test program.
  public static let products = URL(fileURLWithPath: "/proc/self/exe").resolvingSymlinksInPath()
    .deletingLastPathComponent().path

  /// Two small layers with short convolutions, so that segments hand on every kind of state.
  public static let recipe = """
    run: {name: tiny, output: unset, seed: 3}
    model:
      config: {model_type: gla, hidden_size: 32, num_hidden_layers: 2, num_heads: 4,
        intermediate_size: 64, vocab_size: 64, use_short_conv: true, tie_word_embeddings: true}
    data:
      sequence_length: 64
      sources:
        - {task: mqar, pairs: 4, vocab: 64}
    train:
      steps: 6
      sequences_per_step: 8
      micro_batch: 1
      segment_length: 64
      precision: fp32
      optimizer: {lr: 1.0e-2, weight_decay: 0.1}
      schedule: {kind: cosine, warmup_steps: 2}
    parallel: {threads_per_rank: 1}
    checkpoint: {every: 2, keep: 2}
    evaluation: {every: 0}

    """

  /// An override that makes the model a Mamba2.
  public static let mamba2 =
    "model.config={model_type: mamba2, hidden_size: 32, num_hidden_layers: 2, num_heads: 4, "
    + "head_dim: 16, expand: 2, state_size: 16, n_groups: 1, vocab_size: 64}"

  /// What trains.
  public var program = "statex-train"
  /// Where everything of the job is.
  public let directory: TemporaryDirectory
  /// The recipe's path.
  public let recipePath: String
  /// Overrides of every run of this job.
  public var settings: [String]

  /// Writes the recipe.
  ///
  /// - Parameters:
  ///   - settings: overrides such as `train.steps=4`.
  ///   - appending: YAML to add at the end of the recipe.
  /// - Throws: Foundation's errors when the files cannot be written.
  public init(_ settings: [String] = [], appending: String = "") throws {
    directory = try TemporaryDirectory()
    recipePath = directory.path + "/recipe.yaml"
    self.settings = settings
    try write(Self.recipe + appending, to: "recipe.yaml")
  }

  /// Writes a file of the job and returns its path.
  ///
  /// - Throws: what the system says when it cannot.
  @discardableResult
  public func write(_ text: String, to name: String) throws -> String {
    try text.write(toFile: directory.path + "/" + name, atomically: true, encoding: .utf8)
    return directory.path + "/" + name
  }

  /// The run directory of that name.
  public func output(_ run: String) -> String { directory.path + "/" + run }

  /// Starts the trainer on the run directory `run`.
  ///
  /// - Parameters:
  ///   - launch: on how many ranks.
  ///   - run: the run directory's name.
  ///   - arguments: more overrides and options.
  ///   - environment: variables to set.
  ///   - wrapper: a command that starts each rank, which is appended to it.
  /// - Returns: the launcher, or the trainer itself.
  /// - Throws: `POSIXError` when it cannot be started.
  public func start(
    _ launch: Launch, run: String, _ arguments: [String] = [], environment: [String: String] = [:],
    under wrapper: [String] = []
  ) throws -> ChildProcess {
    let program =
      wrapper + [
        Self.products + "/" + program, "--config", recipePath, "run.output=" + output(run),
      ]
      + settings + arguments
    return try ChildProcess(
      launch.command(program), directory: directory.path, environment: environment)
  }

  /// What a finished run left.
  ///
  /// - Throws: what the system says when there is no export.
  public func outcome(_ run: String) throws -> Outcome {
    Outcome(
      rows: rows(run),
      weights: try Data(
        contentsOf: URL(fileURLWithPath: output(run) + "/export/model.safetensors")))
  }

  /// Step, loss and gradient norm of the rows logged so far.
  public func rows(_ run: String) -> [String] {
    let data = FileManager.default.contents(atPath: output(run) + "/metrics.jsonl") ?? Data()
    return String(decoding: data, as: UTF8.self).split(separator: "\n").map {
      String($0.prefix(upTo: $0.range(of: ", \"lr\"")?.lowerBound ?? $0.endIndex))
    }
  }

  /// Names inside a run's `checkpoints`.
  ///
  /// - Throws: what the system says when there are none.
  public func checkpoints(_ run: String) throws -> [String] {
    try FileManager.default.contentsOfDirectory(atPath: output(run) + "/checkpoints").sorted()
  }

  /// Everything below the job's directory but the programs' output.
  public func files() -> Set<String> {
    let all = FileManager.default.enumerator(atPath: directory.path)?.compactMap { $0 as? String }
    return Set((all ?? []).filter { !$0.hasPrefix("output-") && !$0.contains("ompi.") })
  }

  /// Writes a Megatron data set of random text-like tokens and returns its prefix.
  ///
  /// - Parameters:
  ///   - name: the files' name without `.bin` and `.idx`.
  ///   - count: how many tokens.
  ///   - vocabulary: ids are below it.
  ///   - change: the token of an index; nil leaves the random one.
  /// - Returns: the path without `.bin` and `.idx`.
  /// - Throws: `TokenDataError`.
  public func writeTokens(
    _ name: String, count: Int, vocabulary: Int, _ change: (Int) -> Int32? = { _ in nil }
  ) throws -> String {
    let prefix = directory.path + "/" + name
    let writer = try MegatronWriter(prefix: prefix, vocabularySize: 65_000)
    var state: UInt64 = 1
    var document: [Int32] = []
    for index in 0..<count {
      state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
      document.append(change(index) ?? Int32(state >> 33) % Int32(vocabulary))
      if document.count == 700 || index == count - 1 {
        try writer.append(document)
        document = []
      }
    }
    try writer.finish()
    return prefix
  }
}

extension ChildProcess {
  /// The trainer's processes, in the order of their ranks.
  public func ranks(_ launch: TrainingJob.Launch) -> [pid_t] {
    if case .alone = launch { [pid] } else { children.sorted() }
  }
}
