import Fields
import Files
import Foundation

/// A complete description of a training run: everything that decides its numbers, and where they go.
///
/// Decoded from YAML by `load(path:overrides:)`; `resolvedYAML()` writes it back with every default
/// spelt out. Relative paths are relative to the working directory of the process, not to the
/// recipe's folder. Defaults given below are those of the paper's recipe.
public struct Recipe: Sendable, Equatable {
  /// Name, folder and seed of the run.
  public var run: Run
  /// What is trained.
  public var model: Model
  /// The state expansion before training; nil trains the model as it is (LPT).
  public var expansion: Expansion?
  /// What it is trained on.
  public var data: DataPlan
  /// How it is trained.
  public var train: Train
  /// How the work is divided.
  public var parallel: Parallel
  /// When the run is saved.
  public var checkpoint: Checkpoint
  /// What is measured on the way.
  public var evaluation: Evaluation
  /// What is logged.
  public var metrics: Metrics

  /// Reads a recipe file and applies `key.path=value` overrides before decoding it.
  ///
  /// - Parameters:
  ///   - path: a YAML file of at most 1 MiB.
  ///   - overrides: for example `train.steps=20` or `data.sources.0.weight=0.5`, later ones winning.
  /// - Returns: the recipe, every default filled in.
  /// - Throws: `RecipeError`, exit class 64, naming file, line and key.
  public static func load(path: String, overrides: [String] = []) throws(RecipeError) -> Recipe {
    try decode(yaml: readText(path), name: path, overrides: overrides)
  }

  /// Decodes a recipe from text; `name` stands for the file in error messages.
  public static func decode(
    yaml: String, name: String = "recipe", overrides: [String] = []
  ) throws(RecipeError) -> Recipe {
    var value = try FieldValue.parse(yaml: yaml) { .line(file: name, $0) }
    for override in overrides {
      try value.apply(override: override)
    }
    if value.isNull { value.kind = .mapping([]) }
    return try RecipeError.reading { () throws(FieldError) in
      try Recipe(FieldReader(value, keys: keys))
    }
  }

  /// The whole recipe as YAML, every default explicit, which decodes to an equal recipe.
  public func resolvedYAML() -> String { value.yaml }

  private static func readText(_ path: String) throws(RecipeError) -> String {
    let bytes: [UInt8]
    do throws(FileError) {
      bytes = try InputFile.contents(of: path, limit: FieldValue.largestText + 1)
    } catch {
      throw .unreadable(
        file: path,
        reason: error.saysAbsent
          ? "there is no such recipe" : "the recipe cannot be read; is it a file?")
    }
    guard let text = String(validating: bytes, as: UTF8.self) else {
      throw .unreadable(file: path, reason: "not UTF-8 text")
    }
    return text
  }
}

extension Recipe {
  /// The keys of a recipe in the order in which it is written.
  static let keys = [
    "run", "model", "expansion", "data", "train", "parallel", "checkpoint", "evaluation", "metrics",
  ]

  init(_ reader: FieldReader) throws(FieldError) {
    run = try reader.section("run", Run())
    model = try reader.section("model", keys: Model.keys, Model.init)
    expansion = try reader.optionalSection("expansion", Expansion())
    let data = try reader.section("data", DataPlan())
    self.data = data
    train = try reader.section("train", keys: Train.keys, Train.init)
    parallel = try reader.section("parallel", Parallel())
    checkpoint = try reader.section("checkpoint", Checkpoint())
    evaluation = try reader.section(
      "evaluation", Evaluation(sequenceLength: data.sequenceLength))
    metrics = try reader.section("metrics", Metrics())
    try validate(reader)
  }

  /// The recipe before printing.
  var value: FieldValue {
    .mapping([
      ("run", run.value), ("model", model.value), ("expansion", expansion?.value),
      ("data", data.value), ("train", train.value), ("parallel", parallel.value),
      ("checkpoint", checkpoint.value), ("evaluation", evaluation.value),
      ("metrics", metrics.value),
    ])
  }

  /// The rules that tie several sections together; those within one section stand with it.
  private func validate(_ reader: FieldReader) throws(FieldError) {
    let (perStep, overflow) = data.sequenceLength.multipliedReportingOverflow(
      by: train.sequencesPerStep)
    guard !overflow, !perStep.multipliedReportingOverflow(by: train.steps).overflow else {
      throw reader.invalid(
        "train.steps", "steps * sequences_per_step * sequence_length is beyond 64-bit counting")
    }
    guard data.sequenceLength * train.microBatch <= Train.mostTokens else {
      throw reader.invalid(
        "train.micro_batch",
        "micro_batch * sequence_length must be at most \(Train.mostTokens) tokens")
    }
  }
}

extension Recipe {
  /// Name, folder and seed of a run.
  public struct Run: Sendable, Equatable, FieldSection {
    /// Name shown in logs; default: the last component of `output`.
    public var name = ""
    /// Folder of the run: resolved recipe, metrics, checkpoints and export; required.
    public var output = ""
    /// Seed of every random choice: data order, tasks, initialisation; default 0.
    public var seed: UInt64 = 0
    /// After how long the run saves and stops by itself; nil (`off`, the default) never.
    public var timeLimit: RecipeDuration?
    /// After how long a silent rank counts as lost; nil (`off`) watches nobody; default 30 s.
    public var watchdog: RecipeDuration? = RecipeDuration(seconds: 30)

    package static var fields: [Field<Run>] {
      [
        title, .text("output", \.output, type: "path", "the run directory"), origin,
        .duration(
          "time_limit", \.timeLimit, standard: "`off`",
          "when the run saves and stops by itself, counted from its start"),
        .duration(
          "watchdog", \.watchdog, standard: "30s", least: RecipeDuration(seconds: 2),
          "silence after which a rank counts as lost and the run ends"),
      ]
    }

    private static var title: Field<Run> {
      let description = FieldKey(
        path: "name", type: "text", standard: "last component of `run.output`", range: "not empty",
        meaning: "name in the log")
      return Field(description) { (run, reader) throws(FieldError) in
        let component = URL(fileURLWithPath: try reader.text("output")).lastPathComponent
        run.name = try reader.text("name", default: component)
      } write: {
        .text($0.name)
      }
    }

    private static var origin: Field<Run> {
      let description = FieldKey(
        path: "seed", type: "integer", standard: "0", range: ">= 0",
        meaning: "seed of data order, tasks, initialisation and expansion")
      return Field(description) { (run, reader) throws(FieldError) in
        run.seed = UInt64(try reader.integer("seed", default: 0, .atLeast(0), atMost: .max))
      } write: {
        .integer(Int($0.seed))
      }
    }
  }
}
