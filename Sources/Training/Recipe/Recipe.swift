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
    var value = try RecipeValue.parse(yaml: yaml) { .line(file: name, $0) }
    for override in overrides {
      try value.apply(override: override)
    }
    if value.isNull { value.kind = .mapping([]) }
    return try Recipe(RecipeReader(value, path: "", keys: keys))
  }

  /// The whole recipe as YAML, every default explicit, which decodes to an equal recipe.
  public func resolvedYAML() -> String { value.yaml }

  private static func readText(_ path: String) throws(RecipeError) -> String {
    let bytes: [UInt8]
    do throws(FileError) {
      bytes = try InputFile.contents(of: path, limit: RecipeValue.largestText + 1)
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

  init(_ reader: RecipeReader) throws(RecipeError) {
    run = try reader.section("run", keys: Run.keys, Run.init)
    model = try reader.section("model", keys: Model.keys, Model.init)
    expansion = try reader.optionalSection("expansion", keys: Expansion.keys, Expansion.init)
    let data = try reader.section("data", keys: DataPlan.keys, DataPlan.init)
    self.data = data
    train = try reader.section("train", keys: Train.keys, Train.init)
    parallel = try reader.section("parallel", keys: Parallel.keys, Parallel.init)
    checkpoint = try reader.section("checkpoint", keys: Checkpoint.keys, Checkpoint.init)
    evaluation = try reader.section("evaluation", keys: Evaluation.keys) {
      (section) throws(RecipeError) in
      try Evaluation(section, sequenceLength: data.sequenceLength)
    }
    metrics = try reader.section("metrics", keys: Metrics.keys, Metrics.init)
    try validate(reader)
  }

  /// The recipe before printing.
  var value: RecipeValue {
    .mapping([
      ("run", run.value), ("model", model.value), ("expansion", expansion?.value),
      ("data", data.value), ("train", train.value), ("parallel", parallel.value),
      ("checkpoint", checkpoint.value), ("evaluation", evaluation.value),
      ("metrics", metrics.value),
    ])
  }

  /// The rules that tie several sections together; those within one section stand with it.
  private func validate(_ reader: RecipeReader) throws(RecipeError) {
    func refuse(_ path: String, _ reason: String) -> RecipeError {
      .invalidValue(place: reader.place(of: path), path: path, reason: reason)
    }
    let (perStep, overflow) = data.sequenceLength.multipliedReportingOverflow(
      by: train.sequencesPerStep)
    guard !overflow, !perStep.multipliedReportingOverflow(by: train.steps).overflow else {
      throw refuse(
        "train.steps", "steps * sequences_per_step * sequence_length is beyond 64-bit counting")
    }
  }
}

extension Recipe {
  /// Name, folder and seed of a run.
  public struct Run: Sendable, Equatable {
    /// Name shown in logs; default: the last component of `output`.
    public var name: String
    /// Folder of the run: resolved recipe, metrics, checkpoints and export; required.
    public var output: String
    /// Seed of every random choice: data order, tasks, initialisation; default 0.
    public var seed: UInt64

    static let keys = ["name", "output", "seed"]

    init(_ reader: RecipeReader) throws(RecipeError) {
      output = try reader.text("output")
      let component = URL(fileURLWithPath: output).lastPathComponent
      name = try reader.text("name", default: component)
      seed = UInt64(try reader.integer("seed", default: 0, .atLeast(0)))
    }

    var value: RecipeValue {
      .mapping([
        ("name", .text(name)), ("output", .text(output)), ("seed", .integer(Int(seed))),
      ])
    }
  }
}
