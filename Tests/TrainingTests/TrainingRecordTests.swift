import HuggingFaceInterop
import JSON
import LanguageModels
import Layers
import Testing
import TokenData
import Training

/// What a checkpoint says of its run, and what may change when the run goes on.
@Suite struct TrainingRecordTests {
  private static func data(
    _ sources: [(String, Double)], shuffle: Bool = true, folder: String = "data"
  ) -> DataIdentity {
    DataIdentity(
      settings: [("run.seed", "1"), ("data.shuffle", "\(shuffle)")],
      sources: sources.map { .init(content: "tokens \($0.0)", name: "\(folder)/\($0.0)") },
      weights: sources.map(\.1))
  }

  private static func gla(_ change: (inout GLAConfiguration) -> Void = { _ in }) throws
    -> ModelIdentity
  {
    var layer = GLAConfiguration(
      hiddenSize: 8, headCount: 2, keyDim: 4, valueDim: 8, intermediateSize: 16)
    change(&layer)
    return try ModelIdentity(model(.gla(layer)))
  }

  private static func model(_ layer: LayerConfiguration) -> ModelConfiguration {
    ModelConfiguration(
      family: .gla, hiddenSize: 8, vocabularySize: 10, normEpsilon: 1e-6, tiesEmbeddings: true,
      layers: [layer])
  }

  private static func record(_ data: DataIdentity) throws -> TrainingRecord {
    let json = JSONValue.object([
      JSONMember("version", .integer(2)), JSONMember("step", .integer(5)),
      JSONMember("tokens", .integer(500)), JSONMember("learning_rate", .number("1e-05")),
      JSONMember(
        "identity", .object(data.settings.map { JSONMember($0.field, .string($0.value)) })),
      JSONMember(
        "sources",
        .array(
          data.sources.map {
            .object([
              JSONMember("content", .string($0.content)), JSONMember("name", .string($0.name)),
            ])
          })),
      JSONMember(
        "phases",
        .array([
          .object([
            JSONMember("first_sample", .integer(0)),
            JSONMember("weights", .array(data.weights.map { .number("\($0)") })),
          ])
        ])), JSONMember("model", try gla().json),
    ])
    let record = try TrainingRecord(json, path: "step-5")
    #expect(record.json == json, "what is read is what is written")
    return record
  }

  @Test("losses, spikes and what was left out come back; older programs refuse gaps")
  func spikes() throws {
    var record = try Self.record(Self.data([("a", 1)]))
    record.loss = 0.1
    record.spikes = SpikeHistory(losses: [0.25, 0.1], spikes: [4])
    #expect(record.json["version"]?.integer() == 2)
    #expect(try TrainingRecord(record.json, path: "step-5").spikes == record.spikes)
    record.spikes = record.spikes.goingBack(from: 9, to: 7, losses: [0.5])
    #expect(record.json["version"]?.integer() == 3)
    let again = try TrainingRecord(record.json, path: "step-5")
    #expect(again.spikes == record.spikes && again.loss == 0.1 && again.json == record.json)
  }

  private func resume(
    _ record: TrainingRecord, _ data: DataIdentity, model: ModelIdentity? = nil
  ) throws -> [Mixture.Phase] {
    try record.resuming(with: data, [], model: model ?? Self.gla(), nextSample: 40)
  }

  private func refusal(
    _ record: TrainingRecord, _ data: DataIdentity, model: ModelIdentity? = nil
  ) -> String? {
    do {
      _ = try resume(record, data, model: model)
      return nil
    } catch {
      return "\(error)"
    }
  }

  @Test func whereFilesAreDoesNotMatter() throws {
    let record = try Self.record(Self.data([("a", 1), ("b", 3)]))
    let moved = Self.data([("a", 2), ("b", 6)], folder: "/scratch")
    #expect(try resume(record, moved) == record.phases)
  }

  @Test func anAddedSourceBeginsAPhase() throws {
    let record = try Self.record(Self.data([("a", 1)]))
    let more = Self.data([("a", 1), ("b", 1)])
    #expect(
      try resume(record, more)
        == record.phases + [Mixture.Phase(firstSample: 40, weights: [1, 1])])
  }

  @Test func aPhaseThatGaveNoSampleIsReplaced() throws {
    var record = try Self.record(Self.data([("a", 1), ("b", 1)]))
    record.phases = [.init(firstSample: 0, weights: [1]), .init(firstSample: 40, weights: [1, 1])]
    #expect(
      try resume(record, Self.data([("a", 1), ("b", 2)])) == [
        .init(firstSample: 0, weights: [1]), .init(firstSample: 40, weights: [1, 2]),
      ])
  }

  @Test func otherContentIsRefusedAndBothSidesAreSaid() throws {
    let record = try Self.record(Self.data([("a", 1), ("b", 1)]))
    #expect(
      refusal(record, Self.data([("a", 1), ("c", 1)]))
        == "data.sources.1: the checkpoint was made with data/b (tokens b), the recipe now says "
        + "data/c (tokens c); restore it, or choose another run.output")
    #expect(
      refusal(record, Self.data([("a", 1)]))?.contains(
        "data.sources.1: the checkpoint was made with data/b (tokens b), the recipe now says nothing"
      ) == true)
    #expect(
      refusal(record, Self.data([("a", 1), ("b", 1)], shuffle: false))?.hasPrefix(
        "data.shuffle: the checkpoint was made with true, the recipe now says false") == true)
  }

  @Test func theFirstVersionIsReadAndGoesOn() throws {
    let json = try JSONValue(
      parsing: """
        {"step": 5, "tokens": 500, "identity": {"run.seed": "1", "data.shuffle": "true",
        "the number of data.sources": "2", "data.sources.0.weight": "0.9",
        "data.sources.0 (content of data/a)": "a", "data.sources.1.weight": "0.1",
        "data.sources.1": "mqar {pairs: 4}", "train.trainable": "all"}}
        """)
    let record = try TrainingRecord(json, path: "step-5")
    #expect(record.learningRate == nil && record.model == nil)
    #expect(record.phases == [.init(firstSample: 0, weights: [0.9, 0.1])])
    var data = Self.data([("a", 0.9)], folder: "elsewhere")
    data.sources.append(.init(content: "task mqar {pairs: 4}", name: "mqar {pairs: 4}"))
    data.weights.append(0.1)
    #expect(try resume(record, data) == record.phases)
    data.sources[0].content = "tokens b"
    #expect(
      refusal(record, data)?.hasPrefix("data.sources.0: the checkpoint was made with data/a")
        == true)
  }

  @Test func aRecordOfALaterVersionIsRefused() throws {
    let json = try JSONValue(
      parsing: #"{"version": 4, "step": 1, "tokens": 1, "identity": {}}"#)
    let error = #expect(throws: TrainingError.self) { try TrainingRecord(json, path: "step-1") }
    #expect(
      error?.description
        == "step-1: `training.version`: must be at most 3, found 4: use a newer statex")
    #expect(error?.exitCode == 65)
  }

  /// A damaged or hostile record is one line; no number in it overflows what is computed from it.
  @Test(arguments: [
    ("{}", "step-1: the required key `training.step` is missing"),
    (
      #"{"step": 9223372036854775807}"#,
      "step-1: `training.step`: must be at most 1073741824, found 9223372036854775807"
    ),
    (#"{"step": -1}"#, "step-1: `training.step`: must be at least 0, found -1"),
    (
      #"{"step": 1, "tokens": 9223372036854775807}"#,
      "step-1: `training.tokens`: must be at most 4611686018427387904, found 9223372036854775807"
    ),
    (
      #"{"version": 2, "step": 1, "tokens": 1, "identity": {}, "sources": [], "phases": [{}]}"#,
      "step-1: the required key `training.phases.0.first_sample` is missing"
    ),
    (
      #"{"version": 2, "step": 1, "tokens": 1, "identity": {}, "sources": [], "phases": []}"#,
      "step-1: `training.phases`: must end with a weight for each of the sources"
    ),
    ("[]", "step-1: `training`: expected a mapping of keys, found a list of 0"),
  ])
  func aRecordThatCannotBeUnderstoodIsOneLine(text: String, says: String) throws {
    let json = try JSONValue(parsing: text)
    let error = #expect(throws: TrainingError.self) { try TrainingRecord(json, path: "step-1") }
    #expect(error?.description == says)
  }

  @Test func anotherFunctionIsRefusedByTheNameOfItsField() throws {
    let data = Self.data([("a", 1)])
    let record = try Self.record(data)
    let relu = try Self.gla { $0.featureMap = .relu }
    #expect(
      refusal(record, data, model: relu)
        == "model.base.gla.feature_map: the checkpoint was made with none, the recipe now says "
        + "\"relu\"; restore it, or choose another run.output")
    #expect(refusal(record, data, model: try Self.gla()) == nil)
  }

  @Test("a layer is recorded in the form of the first checkpoints, which must stay readable")
  func recordedForm() throws {
    let gla = try Self.gla().json["layers"]?.array?.first
    #expect(
      try gla
        == JSONValue(
          parsing: #"""
            {"gla": {"_0": {"fuses_norm": true, "gate_normalizer": 16, "gate_rank": 16,
            "has_head_mixing": false, "has_output_gate": true, "head_count": 2, "hidden_size": 8,
            "intermediate_size": 16, "key_dim": 4, "key_value_head_count": 2,
            "norm_epsilon": 1e-06, "output_norm_has_weight": true, "value_dim": 8}}}
            """#))
    let layer = Mamba2Configuration(hiddenSize: 8, headCount: 2, headDim: 4, stateSize: 3)
    let mamba2 = try ModelIdentity(Self.model(.mamba2(layer))).json
    #expect(
      try mamba2["base"]
        == JSONValue(
          parsing: #"""
            {"mamba2": {"_0": {"convolution_size": 4, "gated_norm_span": "group",
            "group_count": 1, "has_convolution_bias": true, "has_projection_bias": false,
            "head_count": 2, "head_dim": 4, "hidden_size": 8, "norm_epsilon": 1e-05,
            "state_size": 3, "time_step_limit": [0, "inf"]}}}
            """#))
    #expect(mamba2["family"] == .string("gla"))
  }

  // MARK: Every field counts

  /// Changes to a GLA layer, by property.
  private static let glaChanges: [String: @Sendable (inout GLAConfiguration) -> Void] = [
    "hiddenSize": { $0.hiddenSize = 9 }, "headCount": { $0.headCount = 1 },
    "keyValueHeadCount": { $0.keyValueHeadCount = 1 }, "keyDim": { $0.keyDim = 2 },
    "valueDim": { $0.valueDim = 4 }, "intermediateSize": { $0.intermediateSize = 8 },
    "featureMap": { $0.featureMap = .gelu }, "convolutionSize": { $0.convolutionSize = 4 },
    "hasOutputGate": { $0.hasOutputGate = false },
    "gateClampMinimum": { $0.gateClampMinimum = -1 },
    "outputNormHasWeight": { $0.outputNormHasWeight = false },
    "fusesNorm": { $0.fusesNorm = false }, "hasHeadMixing": { $0.hasHeadMixing = true },
    "normEpsilon": { $0.normEpsilon = 1e-5 }, "gateRank": { $0.gateRank = 8 },
    "gateNormalizer": { $0.gateNormalizer = 8 },
  ]

  /// Changes to a Mamba2 layer, by property.
  private static let mamba2Changes: [String: @Sendable (inout Mamba2Configuration) -> Void] = [
    "hiddenSize": { $0.hiddenSize = 9 }, "headCount": { $0.headCount = 1 },
    "headDim": { $0.headDim = 2 }, "groupCount": { $0.groupCount = 2 },
    "stateSize": { $0.stateSize = 4 }, "convolutionSize": { $0.convolutionSize = 2 },
    "hasProjectionBias": { $0.hasProjectionBias = true },
    "hasConvolutionBias": { $0.hasConvolutionBias = false },
    "timeStepLimit": { $0.timeStepLimit = 0...1 },
    "gatedNormSpan": { $0.gatedNormSpan = .allChannels }, "normEpsilon": { $0.normEpsilon = 1e-6 },
  ]

  /// Changes to a model, by property.
  private static let modelChanges: [String: @Sendable (inout ModelConfiguration) -> Void] = [
    "family": { $0.family = .mamba2 }, "hiddenSize": { $0.hiddenSize = 9 },
    "vocabularySize": { $0.vocabularySize = 9 }, "normEpsilon": { $0.normEpsilon = 1e-5 },
    "tiesEmbeddings": { $0.tiesEmbeddings = false },
    "layers": { $0.layers = [$0.base, $0.base] },
    "base": { model in
      guard var layer = model.base.of(GLAConfiguration.self) else { return }
      layer.headCount = 1
      model.base = .gla(layer)
    },
  ]

  /// Properties that the compiler gave the type.
  private func properties(_ value: Any) -> Set<String> {
    Set(Mirror(reflecting: value).children.compactMap(\.label))
  }

  private func expectEveryFieldToCount<Value>(
    _ value: Value, _ changes: [String: @Sendable (inout Value) -> Void],
    _ identity: (Value) throws -> ModelIdentity
  ) throws {
    #expect(Set(changes.keys) == properties(value), "a property without a change to try")
    let whole = try identity(value)
    #expect(try identity(value).difference(to: whole) == nil)
    for (name, change) in changes {
      var other = value
      change(&other)
      #expect(try whole.difference(to: identity(other)) != nil, "\(name) does not count")
    }
  }

  @Test func everyFieldOfAModelCounts() throws {
    let gla = GLAConfiguration(
      hiddenSize: 8, headCount: 2, keyDim: 4, valueDim: 8, intermediateSize: 16)
    try expectEveryFieldToCount(gla, Self.glaChanges) {
      try ModelIdentity(Self.model(.gla($0)))
    }
    let mamba2 = Mamba2Configuration(hiddenSize: 8, headCount: 2, headDim: 8, stateSize: 16)
    try expectEveryFieldToCount(mamba2, Self.mamba2Changes) {
      try ModelIdentity(Self.model(.mamba2($0)))
    }
    try expectEveryFieldToCount(
      Self.model(.gla(gla)), Self.modelChanges, ModelIdentity.init)
  }
}

extension JSONValue {
  fileprivate init(parsing text: String) throws {
    let bytes = Array(text.utf8)
    self = try bytes.withUnsafeBytes { try JSONValue(parsing: $0, source: "test") }
  }
}
