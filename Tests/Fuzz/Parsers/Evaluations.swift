import Evaluation
import HuggingFaceInterop
import JSON
import Kernels
import LanguageModels
import Layers
import TensorStorage
import TokenData

/// A small model without training.
func smallEvaluatedModel() throws -> EvaluatedModel {
  configureBLAS()
  let json = try Array(SmallModel.configuration.utf8).withUnsafeBytes {
    try JSONValue(parsing: $0, source: "config.json")
  }
  let configuration = try ModelConfiguration(configJSON: json)
  let parameters = ParameterArena(
    scratch: configuration, initialization: ScratchInitialization(), seed: 1)
  return EvaluatedModel(LanguageModel(configuration), parameters: parameters.buffer)
}

/// A task of files: its definition, and lines of data.
private let tasks = [
  (
    #"{"format": "statex-task/1", "name": "t", "kind": "multiple_choice", "#
      + #""metrics": ["acc", "acc_norm"], "score": "mean_token", "#
      + #""fewshot": {"k": 1, "seed": 3}, "group_by": ["subset"]}"#,
    [
      #"{"id": 1, "context": "a", "choices": ["b", "c"], "gold": 0, "meta": {"subset": "x"}}"#,
      #"{"id": "2", "contexts": ["a", "b"], "continuation": "c", "gold": [0, 1], "#
        + #""meta": {"subset": 2}}"#,
    ]
  ),
  (
    #"{"format": "statex-task/1", "name": "t", "kind": "generate", "#
      + #""metrics": ["contains"], "generate": {"max_new_tokens": 2, "stop": ["."]}, "#
      + #""match": {"strip": true}, "#
      + #""truncate": {"mode": "answer_centered", "context_tokens": 64, "reserve": 4}}"#,
    [#"{"id": 1, "context": "a b c", "prefix": "b", "answers": ["c"], "meta": {"depth": 0.5}}"#]
  ),
  (
    #"{"format": "statex-task/1", "name": "t", "kind": "token_recall", "#
      + #""metrics": ["token_accuracy"]}"#,
    [#"{"id": 1, "inputs": [1, 2, 3], "labels": [-100, 2, -100]}"#]
  ),
  (
    #"{"format": "statex-task/1", "name": "t", "kind": "rolling", "metrics": ["bits_per_byte"]}"#,
    [#"{"id": 1, "text": "some text"}"#]
  ),
]

extension FuzzTarget {
  /// `task.json`, with data of each kind beside it.
  static var taskDefinition: FuzzTarget {
    FuzzTarget("task-definition") { room in
      for (index, task) in tasks.enumerated() {
        try room.directory("\(index)")
        try room.write(Array(task.1.joined(separator: "\n").utf8), "\(index)/data.jsonl")
      }
      return Prepared(
        corpus: tasks.map { Array($0.0.utf8) },
        words: [#""fewshot": {"k": 1, "file": "data.jsonl"}"#, "\"acc\"", "\"loglikelihood\""]
      ) { input in
        try tryOutAll(in: room) { try room.write(input, "\($0)/task.json") }
      }
    }
  }

  /// `data.jsonl` of a task of each kind.
  static var taskData: FuzzTarget {
    FuzzTarget("task-data") { room in
      for (index, task) in tasks.enumerated() {
        try room.directory("\(index)")
        try room.write(Array(task.0.utf8), "\(index)/task.json")
      }
      return Prepared(
        corpus: tasks.map { Array($0.1.joined(separator: "\n").utf8) },
        words: tasks.flatMap(\.1) + ["\"gold\": [0]", "\"choices\": [\"a\"]"]
      ) { input in
        try tryOutAll(in: room) { try room.write(input, "\($0)/data.jsonl") }
      }
    }
  }

  /// Reads the tasks and makes those that load ready; an input fits one of them only.
  private static func tryOutAll(in room: FuzzRoom, _ write: (Int) throws -> Void) throws {
    var problem: (any Error)?
    var count = 0
    for index in tasks.indices {
      try write(index)
      do {
        let task = try FileTask(directory: room.file("\(index)"))
        try task.check(vocabulary: 300, tokenizer: ByteTokenizer())
        count += 1
      } catch {
        problem = error
      }
    }
    if let problem, count == 0 { throw problem }
  }

  /// A log of samples, read to compare and read to go on with.
  static var sampleLog: FuzzTarget {
    FuzzTarget("sample-log") { room in
      let header = [JSONMember("model", .string("m"))]
      let lines = [
        #"{"statex_samples": 1, "model": "m"}"#,
        #"{"measure": "mqar", "length": 64, "id": 0, "scores": {"acc": 0.5}, "depth": 0.25}"#,
        #"{"measure": "t", "length": 0, "id": "a", "scores": {"acc": 1}, "prediction": "x"}"#,
      ]
      let whole = lines.joined(separator: "\n") + "\n"
      return Prepared(corpus: [Array(whole.utf8), Array(whole.utf8.dropLast(9))], words: lines) {
        let path = try room.write($0, "samples.jsonl")
        _ = try SampleLog.read(path)
        let log = try SampleLog(path: path, header: header, ranks: SingleRank())
        try expect(log.resumedCount >= 0, "\(log.resumedCount) samples")
      }
    }
  }

  /// What `statex generate --save-state` wrote.
  static var contextState: FuzzTarget {
    FuzzTarget("context") { room in
      let model = try smallEvaluatedModel()
      let path = room.file("context")
      try Generator(model).context([1, 2, 3]).write(to: path, of: model, tokenizer: nil)
      return Prepared(
        corpus: [try room.read("context")],
        words: ["\"tokens\":\"9223372036854775807\"", "\"last_token\":\"-1\""]
      ) { input in
        try room.write(input, "context")
        let context = try ContextState(contentsOf: path, of: model, tokenizer: nil)
        try expect(context.tokenCount >= 1, "\(context.tokenCount) tokens")
        _ = try Generator(model).continuation(of: [], after: context, maximumNewTokens: 1)
      }
    }
  }
}
