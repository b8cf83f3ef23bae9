import Foundation
import HuggingFaceInterop
import JSON
import LanguageModels
import Layers
import Testing
import TokenData
import Training

/// The least that a recipe says.
let leastRecipe = """
  run: {output: runs/demo}
  model: {init: models/gla}
  data:
    sequence_length: 128
    sources:
      - {tokens: data/text}
  train: {steps: 20000}
  """

@Suite struct RecipeDecodingTests {
  @Test func everyFieldOfTheFullFormIsRead() throws {
    let recipe = try Recipe.decode(
      yaml: """
        run:        {name: full, output: out/full, seed: 7}
        model:      {init: path/to/hf-model}
        expansion:
          layers: [0, 6, 12]
          heads: 2
          state_factor: 3
          init: preserve
        data:
          sequence_length: 4096
          shuffle: false
          reset_state_at_documents: true
          sources:
            - {tokens: data/slimpajama, weight: 0.9}
            - {task: mqar, weight: 0.1, pairs: 64, vocab: 8192}
        train:
          steps: 200
          sequences_per_step: 12
          micro_batch: 3
          segment_length: 1024
          memory_budget: 1.5GiB
          scratch: /tmp
          truncated_backpropagation: true
          state_passing: 0.9
          precision: bf16
          trainable: expanded
          optimizer: {lr: 1.0e-3, min_lr: 1e-5, betas: [0.8, 0.99], eps: 1.0e-6, weight_decay: 0, grad_clip: 2, moments: bf16}
          schedule: {kind: wsd, warmup_steps: 10, decay_steps: 40}
        parallel:   {threads_per_rank: 4, optimizer_sharding: zero1, reproducible: false, sequence_ranks: 2, overlap: false}
        checkpoint: {every: 50, keep: 1}
        evaluation:
          every: 25
          tasks: [passkey, {task: mqar, pairs: 4, samples: 8, sequence_length: [64, 128]}]
          perplexity: {tokens: data/held-out, sequence_length: 512}
        metrics:    {tensorboard: false, log_every: 5}
        """)
    #expect(recipe.data.resetsStateAtDocuments && !recipe.data.predictsAcrossDocuments)
    #expect(recipe.data.sources.map(\.name) == ["slimpajama", "mqar"])
    #expect(recipe.data.sources.map(\.loss) == [SourceLoss(.token), SourceLoss(.sample)])
    #expect(recipe.train.memoryBudget == 1_610_612_736)
    #expect(recipe.train.scratch == "/tmp")
    #expect(recipe.train.truncatesBackpropagation)
    #expect(recipe.train.statePassing == 0.9)
    #expect(recipe.run.name == "full")
    #expect(recipe.run.output == "out/full")
    #expect(recipe.run.seed == 7)
    #expect(recipe.model == .pretrained(directory: "path/to/hf-model"))
    let expansion = try #require(recipe.expansion)
    #expect(expansion.layers == .list([0, 6, 12]))
    #expect(expansion.sizes["heads"] == 2)
    #expect(expansion.sizes["state_factor"] == 3)
    #expect(expansion.initialization == .preserve)
    #expect(recipe.data.sequenceLength == 4096)
    #expect(!recipe.data.shuffle)
    #expect(recipe.data.sources.map(\.weight) == [0.9, 0.1])
    guard case .tokens(let stored) = recipe.data.sources.first?.kind else {
      Issue.record("the first source is no token file")
      return
    }
    #expect(stored.names == ["data/slimpajama"])
    guard case .task(let task) = recipe.data.sources.last?.kind else {
      Issue.record("the second source is no task")
      return
    }
    #expect(task.name == "mqar")
    #expect(task.options["pairs"]?.kind == .integer(64))
    #expect(task.options["vocab"]?.kind == .integer(8192))
    #expect(task.options["weight"] == nil)
    let train = recipe.train
    #expect(train.steps == 200)
    #expect(train.sequencesPerStep == 12)
    #expect(train.microBatch == 3)
    #expect(train.segmentLength == 1024)
    #expect(train.precision == .bf16 && train.trainable == .expanded)
    #expect(train.optimizer.moments == .bf16)
    let optimizer = train.optimizer
    #expect(optimizer.learningRate == 1e-3)
    #expect(optimizer.minimumLearningRate == 1e-5)
    #expect([optimizer.beta1, optimizer.beta2] == [0.8, 0.99])
    #expect(optimizer.epsilon == 1e-6)
    #expect(optimizer.weightDecay == 0)
    #expect(optimizer.gradientClip == 2)
    #expect(train.schedule.kind == .wsd(decaySteps: 40))
    #expect(train.schedule.warmupSteps == 10)
    #expect(recipe.parallel.threadsPerRank == 4)
    #expect(recipe.parallel.optimizerSharding == .zero1 && !recipe.parallel.overlaps)
    #expect(!recipe.parallel.isReproducible)
    #expect(recipe.parallel.sequenceRanks == 2)
    #expect(recipe.checkpoint.every == 50)
    #expect(recipe.checkpoint.keep == 1)
    #expect(recipe.evaluation.every == 25)
    #expect(recipe.evaluation.tasks.map(\.task.name) == ["passkey", "mqar"])
    #expect(recipe.evaluation.tasks.map(\.samples) == [64, 8])
    #expect(recipe.evaluation.tasks.map(\.lengths) == [[4096], [64, 128]])
    #expect(recipe.evaluation.tasks.last?.task.options["pairs"]?.kind == .integer(4))
    #expect(recipe.evaluation.tasks.last?.task.options["samples"] == nil)
    guard case .tokens(let stored)? = recipe.evaluation.perplexity?.content else {
      Issue.record("the loss is measured on no token files")
      return
    }
    #expect(stored.names == ["data/held-out"])
    #expect(recipe.evaluation.perplexity?.sequenceLength == 512)
    #expect(!recipe.metrics.tensorboard)
    #expect(recipe.metrics.logEvery == 5)
  }

  @Test func tasksInFilesStandBesideTasksByName() throws {
    let recipe = try Recipe.decode(
      yaml: leastRecipe,
      overrides: [
        "evaluation.tasks=[{file: a/task.json, samples: 9, as: few, tokenizer: byte}, mqar, {file: b}, "
          + "{task: mqar, as: again}]"
      ])
    let files = recipe.evaluation.files
    #expect(files.map(\.plan.path) == ["a/task.json", "b"])
    #expect(files.map(\.plan.samples) == [9, nil] && files.map(\.plan.name) == ["few", nil])
    #expect(files.map(\.tokenizer) == ["byte", nil])
    #expect(recipe.evaluation.tasks.map(\.name) == [nil, "again"])
    #expect(recipe.evaluation.tasks.last?.task.options.entries.isEmpty == true)
    #expect(try Recipe.decode(yaml: recipe.resolvedYAML()) == recipe)
  }

  /// `tokens` names files, but of a task that has such an option it is that option.
  @Test func tokensOfATaskAreItsOwn() throws {
    let recipe = try Recipe.decode(
      yaml: leastRecipe,
      overrides: ["data.sources=[{task: copying, tokens: 5, form: s4}, {tokens: a/b}]"])
    guard case .task(let task) = recipe.data.sources[0].kind else {
      Issue.record("\(recipe.data.sources[0])")
      return
    }
    #expect(task.options["tokens"]?.kind == .integer(5) && recipe.data.sources[1].name == "b")
    #expect(recipe.resolvedYAML().contains("tokens: 5"))
  }

  @Test func absentKeysTakeThePapersValues() throws {
    let recipe = try Recipe.decode(yaml: leastRecipe)
    #expect(recipe.run.name == "demo")
    #expect(recipe.run.seed == 0)
    #expect(recipe.expansion == nil)
    #expect(recipe.data.shuffle)
    #expect(recipe.data.sources.map(\.weight) == [1])
    #expect(recipe.train.sequencesPerStep == 8)
    #expect(recipe.train.microBatch == 1)
    #expect(recipe.train.segmentLength == 2048)
    #expect(recipe.train.precision == .auto && recipe.train.trainable == .all)
    #expect(recipe.train.optimizer.moments == .fp32 && recipe.parallel.overlaps)
    let optimizer = recipe.train.optimizer
    #expect(optimizer.learningRate == 3e-4)
    #expect(optimizer.minimumLearningRate == 0)
    #expect([optimizer.beta1, optimizer.beta2] == [0.9, 0.95])
    #expect(optimizer.epsilon == 1e-8)
    #expect(optimizer.weightDecay == 0.1)
    #expect(optimizer.gradientClip == 1)
    #expect(recipe.train.schedule.kind == .cosine)
    #expect(recipe.train.schedule.warmupSteps == 1000)
    #expect(recipe.parallel.threadsPerRank == nil)
    #expect(recipe.parallel.optimizerSharding == .none)
    #expect(recipe.parallel.isReproducible)
    #expect(recipe.parallel.sequenceRanks == 1)
    #expect(recipe.checkpoint.every == 1000)
    #expect(recipe.checkpoint.keep == 3)
    #expect(recipe.evaluation.every == 1000)
    #expect(recipe.evaluation.tasks.isEmpty)
    #expect(recipe.evaluation.perplexity == nil)
    #expect(recipe.metrics.tensorboard)
    #expect(recipe.metrics.logEvery == 1)
  }

  @Test func expansionHasDefaultsOfItsOwn() throws {
    let recipe = try Recipe.decode(yaml: leastRecipe, overrides: ["expansion={}"])
    let expansion = try #require(recipe.expansion)
    #expect(expansion.layers == .every(6))
    #expect(expansion.sizes["heads"] == 1)
    #expect(expansion.sizes["state_factor"] == 4)
    #expect(expansion.initialization == .reinitialize)
  }

  @Test func layersAreChosenByAProbe() throws {
    let path = FileManager.default.temporaryDirectory.path + "/probe-\(UUID().uuidString).json"
    defer { try? FileManager.default.removeItem(atPath: path) }
    func decode(_ layers: String) throws -> Recipe.Expansion.Layers? {
      try Recipe.decode(yaml: leastRecipe, overrides: ["expansion={layers: \(layers)}"])
        .expansion?.layers
    }
    func report(_ text: String) throws { try Data(text.utf8).write(to: URL(fileURLWithPath: path)) }
    try report(#"{"format": "statex-probe/1", "order": [2, 0, 3, 1]}"#)
    #expect(try decode("{choose: 1, probe: \(path)}") == .list([2]))
    #expect(try decode("{choose: 3, probe: \(path)}") == .list([0, 2, 3]))
    let refused = [
      ("{choose: 5, probe: \(path)}", "`expansion.layers.choose`: the probed model has 4 layers"),
      ("{choose: 0, probe: \(path)}", "expansion.layers.choose"),
      ("{choose: 2}", "expansion.layers.probe"),
      ("{probe: \(path)}", "expansion.layers.choose"),
      ("{every: 2, choose: 2, probe: \(path)}", "give either `every` or `choose`"),
      ("{choose: 2, probe: \(path).none}", "cannot open \(path).none: No such file"),
    ]
    for (layers, reason) in refused {
      #expect { try decode(layers) } throws: { "\($0)".contains(reason) }
    }
    for text in [
      #"{"order": [0, 1]}"#, #"{"format": "statex-probe/1", "order": [0, 0]}"#,
      #"{"format": "statex-probe/1"}"#, #"{"format": "statex-probe/1", "order": [1, 2]}"#,
    ] {
      try report(text)
      #expect { try decode("{choose: 1, probe: \(path)}") } throws: {
        "\($0)".contains("order: not a report of `statex probe --json`")
      }
    }
  }

  @Test func modelFromScratchKeepsItsFieldsAndInitialization() throws {
    let recipe = try Recipe.decode(
      yaml: leastRecipe,
      overrides: [
        "model={config: {model_type: gla, norm_eps: 1e-6, tie: true, list: [1, a, ~]}}",
        "model.initialization={embedding_std: 0.5, linear: fan_in}",
      ])
    guard case .scratch(let config, let initialization) = recipe.model else {
      Issue.record("not a model from scratch")
      return
    }
    #expect(
      config.jsonValue
        == .object([
          JSONMember("model_type", .string("gla")), JSONMember("norm_eps", .number("1e-06")),
          JSONMember("tie", .bool(true)),
          JSONMember("list", .array([.number("1"), .string("a"), .null])),
        ]))
    #expect(
      initialization == ScratchInitialization(embeddingDeviation: 0.5, linearDeviation: nil))
  }

  @Test(arguments: [
    ("3e-4", 3e-4), ("3E-4", 3e-4), ("3.0e-4", 3e-4), ("1", 1), ("+0.5", 0.5), (".5", 0.5),
    ("1_000", 1000), ("1_0.5", 10.5), ("2.", 2),
  ])
  func numbersInAllTheirSpellings(text: String, expected: Double) throws {
    let recipe = try Recipe.decode(
      yaml: leastRecipe, overrides: ["train.optimizer.lr=\(text)"])
    #expect(recipe.train.optimizer.learningRate == expected)
  }

  @Test func integersMayHaveSeparators() throws {
    let recipe = try Recipe.decode(yaml: leastRecipe, overrides: ["train.steps=1_000_000"])
    #expect(recipe.train.steps == 1_000_000)
  }

  @Test func quotedNumbersAndSwitchWordsStayText() throws {
    let recipe = try Recipe.decode(
      yaml: leastRecipe, overrides: ["run.name='12'", "run.output=on", "model.init=1.3b/x"])
    #expect(recipe.run.name == "12")
    #expect(recipe.run.output == "on")
    #expect(recipe.model == .pretrained(directory: "1.3b/x"))
  }
}

@Suite struct RecipeResolutionTests {
  @Test(arguments: [
    [],
    ["expansion={}"],
    ["expansion={layers: [3, 1]}", "parallel.threads_per_rank=3"],
    ["model={config: {model_type: gla, norm_eps: 1e-6, deep: {a: [[1], {b: ~}], c: {}}}}"],
    ["model={config: {model_type: gla}, initialization: {linear: fan_in}}"],
    ["train.schedule={kind: wsd, decay_steps: 3}", "train.optimizer.lr=0.1000000000000000055"],
    ["data.sources=[{task: mqar, pairs: 4, weight: 0.3}, {tokens: 'a b: c # d'}]"],
    [
      "evaluation={tasks: [mqar, {task: passkey, max_new_tokens: 9, tokenizer: byte}], perplexity: {tokens: t}}"
    ],
    ["run.name='true'", "run.output=\"tab\\t quote\\\" back\\\\ line\\n \\u00e9 \\u2028\""],
    ["model={config: {'3e-4': '3e-4', 'odd key': [], 'null': null, n: 12345678901234567890}}"],
  ])
  func resolvedRecipeDecodesToAnEqualOne(overrides: [String]) throws {
    let recipe = try Recipe.decode(yaml: leastRecipe, overrides: overrides)
    let resolved = recipe.resolvedYAML()
    let again = try Recipe.decode(yaml: resolved)
    #expect(again == recipe, "\(resolved)")
    #expect(again.resolvedYAML() == resolved)
  }

  @Test func predictionsAcrossDocumentsFollowTheStateUnlessTheyAreAskedFor() throws {
    for (overrides, across) in [
      ([], true), (["data.reset_state_at_documents=true"], false),
      (["data.reset_state_at_documents=true", "data.predict_across_documents=true"], true),
      (["data.predict_across_documents=false"], false),
    ] as [([String], Bool)] {
      let recipe = try Recipe.decode(yaml: leastRecipe, overrides: overrides)
      #expect(recipe.data.predictsAcrossDocuments == across, "\(overrides)")
    }
  }

  @Test func sourcesHaveDifferentNames() throws {
    let sources =
      "data.sources=[{tokens: a/x}, {tokens: b/x}, {task: mqar, name: x_3, loss: token}, "
      + "{tokens: c/x, loss: sample, loss_weight: 0.5}, {task: mqar}]"
    let recipe = try Recipe.decode(yaml: leastRecipe, overrides: [sources])
    #expect(recipe.data.sources.map(\.name) == ["x", "x_2", "x_3", "x_4", "mqar"])
    #expect(recipe.data.sources[2].loss == SourceLoss(.token))
    #expect(recipe.data.sources[3].loss == SourceLoss(.sample, factor: 0.5))
  }

  @Test func everyDefaultIsWrittenInTheDocumentedOrder() throws {
    let recipe = try Recipe.decode(
      yaml: leastRecipe, overrides: ["expansion={}", "evaluation.perplexity={tokens: t}"])
    #expect(
      recipe.resolvedYAML() == """
        run:
          name: demo
          output: runs/demo
          seed: 0
          time_limit: off
          watchdog: "30s"
        model:
          init: models/gla
        expansion:
          layers:
            every: 6
          heads: 1
          state_factor: 4
          init: reinitialize
        data:
          sequence_length: 128
          shuffle: true
          reset_state_at_documents: false
          predict_across_documents: true
          sources:
            - tokens: data/text
              name: text
              weight: 1.0
              loss: token
              loss_weight: 1.0
        train:
          steps: 20000
          sequences_per_step: 8
          micro_batch: 1
          segment_length: 2048
          truncated_backpropagation: false
          state_passing: 0.0
          precision: auto
          trainable: all
          optimizer:
            lr: 0.0003
            min_lr: 0.0
            betas: [0.9, 0.95]
            eps: 1e-08
            weight_decay: 0.1
            grad_clip: 1.0
            moments: fp32
          schedule:
            kind: cosine
            warmup_steps: 1000
          on_spike:
            policy: off
            window: 100
            threshold: 6.0
            limit: 10
            steps_back: 10
        parallel:
          threads_per_rank: auto
          optimizer_sharding: none
          reproducible: true
          sequence_ranks: 1
          overlap: true
          verify_every: 10
        checkpoint:
          every: 1000
          interval: off
          keep: 3
          keep_every: 0
          asynchronous: true
          on_failure: continue
        evaluation:
          every: 1000
          tasks: []
          perplexity:
            tokens: t
            sequence_length: 128
        metrics:
          tensorboard: true
          log_every: 1

        """)
  }

  @Test func everyRecipeUnderConfigsDecodes() throws {
    let configs = URL(fileURLWithPath: #filePath)
      .deletingLastPathComponent().deletingLastPathComponent().deletingLastPathComponent()
      .appendingPathComponent("configs")
    let enumerator = try #require(
      FileManager.default.enumerator(at: configs, includingPropertiesForKeys: nil))
    let files = enumerator.compactMap { $0 as? URL }
      .filter { ["yaml", "yml"].contains($0.pathExtension) }
    #expect(files.count >= 4)
    for file in files {
      let recipe = try Recipe.load(path: file.path)
      #expect(try Recipe.decode(yaml: recipe.resolvedYAML()) == recipe, "\(file.path)")
      try checkReferences(recipe)
    }
  }

  /// The model and the tasks that a recipe describes in place exist and can be made.
  private func checkReferences(_ recipe: Recipe) throws {
    var vocabulary = Int.max
    if case .scratch(let config, _) = recipe.model {
      vocabulary = try ModelConfiguration(configJSON: config.jsonValue).vocabularySize
    }
    for case .task(let task) in recipe.data.sources.map(\.kind) {
      let configuration = task.configuration
      guard !configuration.needsTokenizer else { continue }
      let source = try configuration.makeSource(
        sequenceLength: recipe.data.sequenceLength, seed: recipe.run.seed, stream: .training)
      #expect(source.requiredVocabulary <= vocabulary)
    }
  }

  @Test func sourcesOfTokensMayBeListsWithAPartHeldOut() throws {
    let written = "{tokens: [a, 'b-*'], end_of_text: 7, split: {held_out: 0.25}, max_epochs: 1.5}"
    let recipe = try Recipe.decode(yaml: leastRecipe, overrides: ["data.sources=[\(written)]"])
    let source = try #require(recipe.data.sources.first)
    guard case .tokens(let stored) = source.kind else {
      Issue.record("no token file")
      return
    }
    #expect(stored.names == ["a", "b-*"] && stored.endOfText == 7 && stored.heldOut == 0.25)
    #expect(source.maxEpochs == 1.5 && source.name == "a")
    #expect(stored.training.part == .training(heldOut: 0.25))
    #expect(stored.measured.part == .heldOut(0.25))
    #expect(try Recipe.decode(yaml: recipe.resolvedYAML(), overrides: []).data == recipe.data)
    for (wrong, message) in [
      ("{tokens: []}", "data.sources.0.tokens"), ("{tokens: 5}", "data.sources.0.tokens"),
      ("{tokens: a, split: {}}", "split.held_out"),
      ("{tokens: a, split: {held_out: 1}}", "split.held_out"),
      ("{tokens: a, split: {part: 1}}", "part"), ("{tokens: a, max_epochs: 0}", "max_epochs"),
      ("{task: mqar, max_epochs: 1}", "max_epochs"),
    ] {
      #expect {
        try Recipe.decode(yaml: leastRecipe, overrides: ["data.sources=[\(wrong)]"])
      } throws: { "\($0)".contains(message) }
    }
  }
}
