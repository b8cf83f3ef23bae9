import Fields
import JSON
import Training

/// Recipes that train from scratch on generated data, so that nothing else has to be there.
private let recipes = [
  """
  run: {name: tiny, output: runs/tiny, seed: 3, time_limit: 12h}
  model:
    config: {model_type: gla, hidden_size: 32, num_hidden_layers: 2, num_heads: 4,
      intermediate_size: 64, vocab_size: 64, use_short_conv: true}
  expansion: {layers: {every: 2}, heads: 1, init: reinitialize}
  data:
    sequence_length: 64
    sources:
      - {task: mqar, pairs: [4, 2], vocab: 64, weight: 0.9}
      - {task: copying, vocab: 16, weight: 1e-1}
  train:
    steps: 6
    sequences_per_step: 8
    micro_batch: 2
    segment_length: 32
    precision: fp32
    memory_budget: 4GB
    optimizer: {lr: 1.0e-2, betas: [0.9, 0.95], weight_decay: 0.1}
    schedule: {kind: cosine, warmup_steps: 2}
  parallel: {threads_per_rank: 1, optimizer_sharding: zero1}
  checkpoint: {every: 2, keep: 2, interval: 30min}
  evaluation: {every: 0}

  """,
  """
  run: {name: "tiny", output: 'runs/tiny'}
  model:
    config: {model_type: mamba2, hidden_size: 32, num_hidden_layers: 2, num_heads: 4,
      head_dim: 16, expand: 2, state_size: 16, n_groups: 1, vocab_size: 64}
  data:
    sequence_length: 64
    sources: [{task: markov, symbols: 16}]
  train: {steps: 6, sequences_per_step: 8, state_passing: 0.5, on_spike: {policy: skip, window: 5}}

  """,
]

private let keys = [
  "train.steps", "train.segment_length", "data.sequence_length", "model.config.hidden_size",
  "model.config.num_hidden_layers", "model.config.vocab_size", "train.memory_budget",
  "run.time_limit", "checkpoint.keep", "data.sources.0.weight", "parallel.sequence_ranks",
]

extension FuzzTarget {
  /// Recipe files, decoded, printed and decoded again.
  static var recipe: FuzzTarget {
    FuzzTarget("recipe") { _ in
      Prepared(
        corpus: recipes.map { Array($0.utf8) },
        words: keys + [
          "&a", "*a", "!!int", "<<: ", "? ", "|\n", ">-\n", "--- ", "...\n", "%YAML 1.1\n",
        ]
      ) { input in
        let recipe = try Recipe.decode(yaml: input.text, name: "recipe.yaml")
        let again = try Recipe.decode(yaml: recipe.resolvedYAML(), name: "resolved")
        try expect(again == recipe, "the resolved recipe is another one")
      }
    }
  }

  /// JSON of which every part stands on its line.
  static var placedJSON: FuzzTarget {
    FuzzTarget("placed-json") { _ in
      let texts = [
        "{\"a\": [1, -2.5e3, true, null],\n \"b\": {\"c\": \"\\u00e9\\n\"},\n\n \"\": 1e400}",
        "[[], {}, \"\", 9223372036854775808, -0]",
      ]
      return Prepared(corpus: texts.map { Array($0.utf8) }) { input in
        let value = try FieldValue(parsingJSON: input, file: "a.json")
        let json = try input.withUnsafeBytes { try JSONValue(parsing: $0, source: "a.json") }
        let plain = FieldValue(json: json, place: .source("a.json"))
        try expect(value == plain, "another value than without places")
      }
    }
  }

  /// `key.path=value` on the command line.
  static var overrides: FuzzTarget {
    FuzzTarget("overrides") { _ in
      let values = ["20", "[0.9, 0.99]", "{every: 2}", "null", "3e-4", "8GiB", "off", "\"x\""]
      return Prepared(
        corpus: zip(keys, ["20", "32", "64", "64", "2", "64", "4GB", "1h", "3", "0.5", "1"]).map {
          Array("\($0)=\($1)".utf8)
        },
        words: keys + values + ["=", ".", "..", "data.sources.1=", "model.config.layers."]
      ) { input in
        _ = try Recipe.decode(
          yaml: recipes[0], overrides: input.text.split(separator: "\n").map { String($0) })
      }
    }
  }

  /// A length of time.
  static var duration: FuzzTarget {
    FuzzTarget("duration") { _ in
      Prepared(corpus: ["90s", "30min", "12h", "2d"].map { Array($0.utf8) }) { input in
        guard let duration = RecipeDuration(input.text) else { return }
        try expect(RecipeDuration(duration.description) == duration, "\(duration)")
      }
    }
  }

  /// What a recipe would take.
  static var plan: FuzzTarget {
    FuzzTarget("plan", cost: 20) { _ in
      Prepared(corpus: recipes.map { Array($0.utf8) }, words: keys) { input in
        let recipe = try Recipe.decode(yaml: input.text)
        _ = try TrainingPlan(recipe, ranks: 2).description
      }
    }
  }
}
