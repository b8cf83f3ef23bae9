import ChildPrograms
import Evaluation
import Fields
import Files
import Foundation
import JSON
import Kernels
import LanguageModels
import Logging
import TensorStorage
import Testing
import TokenData
import Training
import TrainingMetrics

/// What a run measures and writes down, in this process.
@Suite struct RunEvaluationTests {
  /// A run directory, a stored text, and a model with random weights.
  private struct Run {
    let directory: TemporaryDirectory
    let recipe: Recipe
    let model: LanguageModel
    let parameters: FloatBuffer
    let evaluation: RunEvaluation

    init(_ overrides: [String] = []) throws {
      configureBLAS()
      directory = try TemporaryDirectory()
      let writer = try MegatronWriter(prefix: directory.path + "/text", vocabularySize: 64)
      try writer.append((0..<100).map { Int32($0 * $0 % 64) })
      try writer.finish()
      try FileManager.default.createDirectory(
        atPath: directory.path + "/task", withIntermediateDirectories: true)
      for (name, text) in [("task.json", Self.definition), ("data.jsonl", Self.samples)] {
        try text.write(
          toFile: directory.path + "/task/" + name, atomically: true, encoding: .utf8)
      }
      recipe = try Recipe.decode(yaml: Self.yaml(directory.path), overrides: overrides)
      let run = try RunModel(recipe)
      model = run.languageModel()
      parameters = try run.initialParameters().buffer
      evaluation = try RunEvaluation(recipe, model: run)
    }

    /// A task on texts whose bytes are ids of the model.
    private static let definition =
      #"{"format": "statex-task/1", "name": "sums", "kind": "multiple_choice", "#
      + #""metrics": ["acc", "acc_norm"]}"#
    private static let samples = (0..<12).map {
      #"{"id": \#($0), "context": "\#($0) + 1 =", "choices": ["\#($0 + 1)", "\#($0)"], "gold": 0}"#
    }.joined(separator: "\n")

    private static func yaml(_ directory: String) -> String {
      """
      run: {output: "\(directory)", seed: 5}
      model:
        config: {model_type: gla, hidden_size: 16, num_hidden_layers: 1, num_heads: 2, vocab_size: 64}
      data: {sequence_length: 32, sources: [{task: mqar, pairs: 4, vocab: 64}]}
      train: {steps: 5, sequences_per_step: 1, segment_length: 16}
      evaluation:
        every: 2
        tasks:
          - {task: mqar, pairs: [2, 4], vocab: 64, samples: 3}
          - {file: "\(directory)/task", samples: 10, as: ten, tokenizer: byte}
        perplexity: {tokens: "\(directory)/text", sequence_length: 24}
      """
    }

    var path: String { directory.path + "/evaluation.jsonl" }
    var text: String? { try? String(contentsOfFile: path, encoding: .utf8) }

    /// The rows as they stand in the file.
    func rows() throws -> [JSONValue] {
      try (text ?? "").split(separator: "\n").map { line in
        try Array(line.utf8).withUnsafeBytes { try JSONValue(parsing: $0, source: path) }
      }
    }

    func measure(_ step: Int, isInterrupted: @escaping () -> Bool = { false }) throws {
      let report = try evaluation.report(
        of: model, parameters: parameters, isInterrupted: isInterrupted)
      try evaluation.write(
        report, step: step, log: Logger(label: "test") { _ in SwiftLogNoOpLogHandler() })
    }
  }

  @Test func aRowIsTheReportOfWhatIsMeasuredDirectly() throws {
    let run = try Run()
    try run.measure(2)
    try run.measure(4)
    let evaluated = EvaluatedModel(run.model, parameters: run.parameters, segmentLength: 16)
    var report = EvaluationReport()
    report.perplexity = try Perplexity(
      TokenSelection([run.directory.path + "/text"]), sequenceLength: 24, of: evaluated
    ).measure()
    let plan = try #require(run.recipe.evaluation.tasks.first)
    for task in try EvaluationTask.tasks(
      name: "mqar", options: plan.task.options, defaults: .init(sequenceLength: 32, samples: 3))
    {
      report.tasks.append(try task.measure(evaluated, seed: 5))
    }
    #expect(report.tasks.map(\.name) == ["mqar_2", "mqar_4"])
    let file = FieldValue(.mapping([.init("samples", .integer(10)), .init("as", .text("ten"))]))
    report.fileTasks = [
      try FileTaskPlan(path: run.directory.path + "/task", options: file).open()
        .measure(evaluated, tokenizer: ByteTokenizer())
    ]
    #expect(
      report.scalars.suffix(2).map(\.name) == ["ten/acc", "ten/acc_norm"]
        && report.fileTasks[0].samples == 10)
    guard case .object(let members) = report.json else { return }
    let rows = try run.rows()
    #expect(rows == [2, 4].map { .object([JSONMember("step", .integer($0))] + members) })
  }

  @Test func aStepHasARowOnceItIsMeasuredAndLaterRowsGo() throws {
    let run = try Run()
    #expect(try !run.evaluation.hasMeasured(2), "without a file")
    for step in [2, 4, 5] { try run.measure(step) }
    #expect(try [1, 2, 3, 4, 5, 6].filter(run.evaluation.hasMeasured) == [2, 4, 5])
    try run.measure(4)
    #expect(try run.rows().map { $0["step"]?.integer() } == [2, 4])
    #expect(try !run.evaluation.hasMeasured(5))
  }

  @Test func itIsDueAtMultiplesAndAfterTheLastStep() throws {
    func due(_ overrides: String...) throws -> [Int] {
      let evaluation = try Run(overrides).evaluation
      return (1...5).filter { evaluation.isDue(step: $0, last: 5) }
    }
    #expect(try due() == [2, 4, 5])
    #expect(try due("evaluation.every=0") == [])
    #expect(try due("evaluation={every: 2}") == [])
    #expect(try due("evaluation={every: 3, tasks: [{task: mqar, vocab: 64, pairs: 2}]}") == [3, 5])
  }

  @Test(arguments: [
    ("[{task: mqar, pairs: 20, vocab: 64}]", "option 'pairs'"),
    ("[{task: mqar, pairs: 2, vocab: 128}]", "smaller 'vocab'"),
    ("[{task: mqar, pairs: 2, vocab: 64}, {task: mqar, pairs: 3, vocab: 64}]", "mqar"),
    ("[passkey]", "tokenizer"),
  ])
  func aTaskThatDoesNotFitIsRefusedAtTheStart(_ tasks: String, _ word: String) throws {
    do {
      _ = try Run(["evaluation.tasks=" + tasks])
      Issue.record("\(tasks) is accepted")
    } catch {
      #expect("\(error)".contains(word), "\(error)")
    }
  }

  @Test func textThatDoesNotFitIsRefusedAtTheStart() throws {
    for override in ["sequence_length=100", "tokens=/nowhere/text"] {
      #expect(throws: TokenDataError.self) { try Run(["evaluation.perplexity." + override]) }
    }
    #expect(throws: TokenDataError.self, "a token outside the vocabulary") {
      try Run([
        "model.config.vocab_size=32", "evaluation.tasks=[]",
        "data.sources=[{task: mqar, pairs: 4, vocab: 32}]",
      ])
    }
    // Nothing is measured, so nothing has to fit.
    _ = try Run(["evaluation={every: 0, tasks: [{task: mqar, pairs: 2, vocab: 128}]}"])
  }

  @Test func givenUpAtAnyPointItWritesNoRow() throws {
    let run = try Run()
    var asked = 0
    try run.measure(2) {
      asked += 1
      return false
    }
    let before = try #require(run.text)
    #expect(asked >= 12, "between samples and segments")
    for point in 1...asked {
      var count = 0
      do {
        try run.measure(4) {
          count += 1
          return count >= point
        }
        Issue.record("it was measured to its end, interrupted at \(point) of \(asked)")
      } catch EvaluationError.interrupted {}
      #expect(run.text == before)
    }
    #expect(try !run.evaluation.hasMeasured(4))
  }

  @Test(arguments: [FileCall.open, .read])
  func aFileThatCannotBeReadIsLeftAsItIs(_ failing: FileCall) throws {
    let run = try Run()
    for step in [2, 4] { try run.measure(step) }
    let before = try #require(run.text)
    let faults = FileFaults { call, path in
      call == failing && path.hasSuffix("evaluation.jsonl") ? .fail(EIO) : nil
    }
    let readers: [() throws -> Void] = [
      { try run.measure(5) }, { _ = try run.evaluation.hasMeasured(2) },
    ]
    for body in readers {
      do {
        try faults.during(body)
        Issue.record("the error is not noticed")
      } catch let error as MetricsError {
        #expect(error.exitCode == 74 && error.description.contains(run.path), "\(error)")
      }
    }
    #expect(run.text == before)
  }

  @Test func aFileOfSomethingElseIsLeftAsItIs() throws {
    let run = try Run()
    let other = "notes\n{\"step\": 2}\n"
    try other.write(toFile: run.path, atomically: true, encoding: .utf8)
    #expect(throws: MetricsError.self) { try run.measure(2) }
    #expect(throws: MetricsError.self) { try run.evaluation.hasMeasured(2) }
    #expect(run.text == other)
  }

  @Test func itsMemoryIsThatOfTheLargestMeasurement() throws {
    func memory(_ overrides: String...) throws -> Int {
      let run = try Run(overrides)
      return run.evaluation.memory(run.model)
    }
    let mqar = "[{task: mqar, pairs: [2, 4], vocab: 64, samples: 3}]"
    let both = try memory("evaluation.tasks=" + mqar)
    let text = try memory("evaluation.tasks=[]")
    let task = try memory("evaluation={every: 2, tasks: \(mqar)}")
    #expect(both == max(text, task) && min(text, task) > 0)
    let run = try Run()
    let file = try FileTask(directory: run.directory.path + "/task")
      .memory(run.model, segmentLength: 16)
    #expect(try file > 0 && memory() == max(both, file))
    #expect(try memory("evaluation.every=0") == 0)
  }
}
