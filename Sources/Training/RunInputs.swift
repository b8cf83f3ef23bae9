import Kernels
import LanguageModels
import TokenData

/// What a recipe works on, opened and checked: model, data, evaluation, and the memory they take.
///
/// Nothing is written, and no weights are read. Whatever can be found wrong before the first step is found
/// here, so that `plan`, `--dry-run`, `--debug` and a run all refuse the same recipes.
struct RunInputs {
  /// The model.
  let model: RunModel
  /// The training data.
  let data: RunData
  /// What is measured during training.
  let evaluation: RunEvaluation
  /// What a rank holds.
  let memory: TrainingMemory
  /// Token files that another tokenizer than the model's has made.
  let mismatches: [String]

  /// Opens everything.
  ///
  /// - Parameters:
  ///   - recipe: the run.
  ///   - ranks: ranks that share the work.
  ///   - precision: of matrix products.
  /// - Throws: the error of whatever cannot be used.
  init(_ recipe: Recipe, ranks: Int, precision: ProductPrecision) throws {
    try recipe.checkDivision(ranks: ranks)
    model = try RunModel(recipe)
    let languageModel = model.languageModel()
    try TrainingMemory.checkCountable(recipe, languageModel)
    data = try RunData(recipe, model: model)
    evaluation = try RunEvaluation(recipe, model: model, texts: data.texts)
    let made = (data.files + evaluation.files).compactMap { file in
      file.manifest.map { (file.prefix, $0.vocabulary) }
    }
    mismatches = try TokenManifest.mismatches(
      of: made + data.texts.vocabularies, model: model.directory)
    memory = try TrainingMemory(
      recipe, languageModel, ranks: ranks, precision: precision,
      evaluation: evaluation.memory(languageModel), unexpanded: model.unexpandedCount)
  }
}

extension Recipe {
  /// Refuses ranks that do not divide as the recipe says.
  func checkDivision(ranks: Int) throws(TrainingError) {
    let parts = parallel.sequenceRanks
    guard ranks.isMultiple(of: parts) else {
      throw .unsupported(
        "\(ranks) rank\(ranks == 1 ? "" : "s") with parallel.sequence_ranks: \(parts): start a "
          + "multiple of \(parts) ranks")
    }
    if train.microBatches < ranks / parts {
      let groups = parts == 1 ? "" : " in groups of \(parts)"
      throw .unsupported(
        "\(ranks) ranks\(groups) share \(train.microBatches) micro-batches a step "
          + "(train.sequences_per_step / train.micro_batch): start fewer ranks or raise "
          + "train.sequences_per_step")
    }
    let plan = segments
    guard plan.isPossible else {
      throw .unsupported(
        "data.sequence_length: \(plan.length) tokens in segments of \(parts) ranks x "
          + "\(train.segmentLength) (train.segment_length) leave \(plan.lastLength) for the "
          + "last one, fewer than the ranks that share it: change one of the three")
    }
  }
}
