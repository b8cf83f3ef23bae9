import Foundation
import Testing
import Training

/// The message of the error that a recipe with these overrides gives.
private func message(_ overrides: String...) -> String {
  message(yaml: leastRecipe, overrides: overrides)
}

private func message(yaml: String, overrides: [String] = []) -> String {
  do {
    _ = try Recipe.decode(yaml: yaml, name: "r.yaml", overrides: overrides)
    return "no error"
  } catch {
    return error.description
  }
}

@Suite struct RecipeErrorTests {
  @Test func unknownKeysNameFileLineAndNearestKey() {
    #expect(
      message(yaml: leastRecipe + "\ncheckpiont: {every: 3}")
        == "r.yaml:8: unknown key `checkpiont`; did you mean `checkpoint`?")
    #expect(
      message(yaml: leastRecipe.replacing("{steps: 20000}", with: "\n  stpes: 20"))
        == "r.yaml:8: unknown key `train.stpes`; did you mean `steps`?")
    #expect(
      message(yaml: leastRecipe.replacing("text}", with: "text, wieght: 2}"))
        == "r.yaml:6: unknown key `data.sources.0.wieght`; did you mean `weight`?")
    #expect(
      message(yaml: leastRecipe + "\nqqqqqqqq: 1") == """
        r.yaml:8: unknown key `qqqqqqqq`; known here: run, model, expansion, data, train, parallel, \
        checkpoint, evaluation, metrics
        """)
  }

  @Test func tokensAreLimited() {
    let text = message(
      "data.sequence_length=1073741824",
      "train={steps: 1, micro_batch: 128, sequences_per_step: 128}")
    #expect(text.hasSuffix("micro_batch * sequence_length must be at most 68719476736 tokens"))
    let sum = message(
      "data.sequence_length=1073741824", "train={steps: 1073741824, sequences_per_step: 1048576}")
    #expect(sum.hasSuffix("steps * sequences_per_step * sequence_length is beyond 64-bit counting"))
  }

  @Test func requiredKeysAreNamed() {
    #expect(message("run={}").hasSuffix("the required key `run.output` is missing"))
    #expect(message("model={}").hasSuffix("the required key `model.init` is missing"))
    #expect(message("train={}").hasSuffix("the required key `train.steps` is missing"))
    #expect(
      message("data={sources: [{tokens: t}]}").hasSuffix(
        "the required key `data.sequence_length` is missing"))
    #expect(
      message("data={sequence_length: 4}").hasSuffix("the required key `data.sources` is missing"))
    #expect(message(yaml: "") == "r.yaml:1: the required key `run.output` is missing")
    #expect(
      message("evaluation={tasks: [{pairs: 4}]}").hasSuffix(
        "the required key `evaluation.tasks.0.task` is missing"))
  }

  @Test(arguments: [
    ("train.steps", "fast", "an integer, found the text \"fast\""),
    ("train.steps", "1.5", "an integer, found the number 1.5"),
    ("train.steps", "\"20\"", "an integer, found the text \"20\""),
    ("train.steps", "010", "an integer, found the text \"010\""),
    ("train.steps", "", "an integer, found nothing (write a value or leave the key out)"),
    ("train.optimizer.lr", "true", "a number, found true"),
    ("train.optimizer.lr", ".nan", "a number, found the text \".nan\""),
    ("train.optimizer.lr", "1e999", "a number, found the text \"1e999\""),
    ("train.optimizer.betas", "0.9", "a list of 2 numbers, found the number 0.9"),
    ("train.optimizer.betas", "[0.9]", "a list of 2 numbers, found a list of 1"),
    ("metrics.tensorboard", "yes", "true or false, found the text \"yes\""),
    ("run.name", "12", "a text (quote it if it looks like a number), found the integer 12"),
    ("run", "[1]", "a mapping of keys, found a list of 1"),
    (
      "train.memory_budget", "4 gigabytes",
      "bytes, for example 4000000000, 4GB or 3.5GiB, found the text \"4 gigabytes\""
    ),
    ("data.sources", "{}", "a list, found a mapping"),
    ("data.sources", "[3]", "a mapping of keys, found the integer 3"),
    ("model.config", "3", ""),
    ("parallel.threads_per_rank", "many", "auto or an integer, found the text \"many\""),
    (
      "expansion", "{layers: 6}",
      "{every: n}, {choose: n, probe: file} or a list of layer indices, found the integer 6"
    ),
  ])
  func wrongTypesSayWhatWasExpectedAndFound(path: String, value: String, expected: String) {
    let text = message("\(path)=\(value)")
    #expect(text.hasPrefix("override `\(path)=\(value)`: `\(path)"))
    #expect(text.hasSuffix(expected))
  }

  @Test(arguments: [
    ("train.steps", "0", "must be at least 1, found 0"),
    ("run.seed", "-1", "must be at least 0, found -1"),
    ("data.sequence_length", "0", "must be at least 1, found 0"),
    ("train.segment_length", "0", "must be at least 1, found 0"),
    ("data.sequence_length", "4000000000000000000", "must be at most 1073741824, found 4000000000"),
    ("train.segment_length", "9000000000000000000", "must be at most 1073741824, found 9000000000"),
    ("train.micro_batch", "1073741824", "must be a multiple of micro_batch"),
    ("train.sequences_per_step", "1048577", "must be between 1 and 1048576, found 1048577"),
    (
      "train", "{steps: 1, sequences_per_step: 65544, state_passing: 0.5}",
      "must be at most 65536 with state_passing, found 65544"
    ),
    ("data.sources.0.weight", "1e300", "must be at most 1e+30, found 1e+300"),
    ("train.memory_budget", "9223372036854775807", "expected bytes, for example"),
    ("train.state_passing", "1.5", "must be between 0.0 and 1.0, found 1.5"),
    ("train.memory_budget", "0", "must be at least 1, found 0"),
    ("train.optimizer.lr", "0", "must be above 0.0, found 0.0"),
    ("train.optimizer.min_lr", "1", "must be between 0.0 and 0.0003, found 1.0"),
    ("train.optimizer.betas", "[0.9, 1.0]", "must be at least 0.0 and below 1.0, found 1.0"),
    ("train.optimizer.weight_decay", "-0.1", "must be at least 0.0, found -0.1"),
    ("train.optimizer.grad_clip", "-1", "must be at least 0.0, found -1.0"),
    ("train.schedule.warmup_steps", "20001", "must be between 0 and 20000, found 20001"),
    ("train.micro_batch", "3", "must be a multiple of micro_batch (3), found 8"),
    ("train.precision", "fp61", "expected one of fp32, bf16, auto, found `fp61`; did you mean"),
    ("train.schedule", "{decay_steps: 4}", "only for `kind: wsd`, found `cosine`"),
    ("train.schedule", "{kind: wsd, decay_steps: 30000}", "must be between 0 and 19000"),
    ("data.sources.0.weight", "0", "must be above 0.0, found 0.0"),
    (
      "data.sources.0.loss", "tokens", "expected one of token, sample, found `tokens`; did you mean"
    ),
    ("data.sources.0.loss_weight", "0", "must be above 0.0, found 0.0"),
    (
      "data.sources", "[{task: mqar, name: a}, {tokens: x, name: a}]",
      "`a` is the name of an earlier source too"
    ),
    ("data.sources", "[]", "at least one source is needed"),
    ("data.sources.0", "{weight: 1}", "a source has either `tokens`"),
    ("data.sources.0.task", "mqar", "a source has either `tokens`"),
    ("model.config", "{}", "give either `init` or `config`, not both"),
    ("model.initialization", "{}", "only for a model from scratch"),
    (
      "model", "{config: {}, initialization: {linear: fan_in, std: 1}}", "only for `linear: normal`"
    ),
    ("expansion", "{layers: []}", "no layer is listed"),
    ("expansion", "{layers: [1, 1]}", "expected different layer indices from 0"),
    ("expansion", "{layers: {every: 0}}", "must be at least 1, found 0"),
    ("checkpoint.keep", "0", "must be at least 1, found 0"),
    ("checkpoint.every", "-1", "must be at least 0, found -1"),
    ("metrics.log_every", "0", "must be at least 1, found 0"),
    ("parallel.threads_per_rank", "0", "must be between 1 and 4096, found 0"),
    ("train.steps", "9000000000000000000", "must be at most 1073741824, found 9000000000000000000"),
  ])
  func valuesOutOfRangeSayTheRange(path: String, value: String, expected: String) {
    let text = message("\(path)=\(value)")
    #expect(text.contains(expected), "\(text)")
    #expect(!text.contains("\n"))
  }

  /// What an override says is not the file's fault, also where the file has the key.
  @Test func anOverrideOutOfRangeIsNamed() {
    #expect(
      message("train.steps=0")
        == "override `train.steps=0`: `train.steps`: must be at least 1, found 0")
    #expect(
      message("data.sources.0.weight=-1").hasPrefix("override `data.sources.0.weight=-1`: "))
  }

  @Test func missingFilesAndFoldersAreOneLine() {
    for path in ["/nowhere/recipe.yaml", "/tmp"] {
      let error = #expect(throws: RecipeError.self) { try Recipe.load(path: path) }
      #expect(error?.exitCode == 64)
    }
  }

  @Test func overridesThatLeadNowhereAreRefused() {
    #expect(message("train") == "override `train`: expected key.path=value")
    #expect(message("=3") == "override `=3`: expected key.path=value")
    #expect(message("train..steps=3").contains("with keys between the dots"))
    #expect(
      message("train.stepz=3")
        == "override `train.stepz=3`: unknown key `train.stepz`; did you mean `steps`?")
    #expect(
      message("trian.steps=3")
        == "override `trian.steps=3`: unknown key `trian`; did you mean `train`?")
    #expect(
      message("data.sources.1.weight=3")
        == "override `data.sources.1.weight=3`: `1` must be the position of one of 1 list "
        + "elements, from 0")
    #expect(message("train.steps.x=3").contains("leads into the integer 20000"))
    #expect(message("train.steps=[").contains("not valid YAML"))
  }

  @Test func laterOverridesWinAndNullTakesAWholeSectionOut() throws {
    let recipe = try Recipe.decode(
      yaml: leastRecipe + "\nexpansion: {heads: 2}",
      overrides: ["train.steps=3", "train.steps=4", "expansion=null", "data.sources.0.weight=0.5"])
    #expect(recipe.train.steps == 4)
    #expect(recipe.expansion == nil)
    #expect(recipe.data.sources.first?.weight == 0.5)
  }

  @Test(arguments: [
    (
      "{task: mqar, pairz: 4, vocab: 9}",
      "unknown key `data.sources.0.pairz`; did you mean `pairs`?"
    ),
    ("{task: mqar, vocab: big}", "0.vocab`: expected an integer, found the text \"big\""),
    ("{task: mqar, vocab: {a: 1}}", "0.vocab`: expected an integer, found a mapping"),
    ("{task: passkey, tokenizer: 3}", "0.tokenizer`: expected a text"),
    ("{task: copying, tokens: a/b}", "0.tokens`: expected an integer, found the text \"a/b\""),
    ("{task: mqqr}", "found `mqqr`; did you mean `mqar`?"),
    ("{task: mqar, wieght: 2}", "unknown key `data.sources.0.wieght`; did you mean `weight`?"),
    (
      "{task: mqar, vocab: 99999999999999999999}",
      "0.vocab`: must be at most 1073741824, found 1e+20"
    ),
    ("{task: mqar, weight: x}", "0.weight`: expected a number, found the text \"x\""),
  ])
  func tasksAndTheirOptionsAreChecked(source: String, expected: String) {
    let text = message("data.sources.0=\(source)")
    #expect(text.contains(expected), "\(text)")
  }
}

@Suite struct RecipeHostileTextTests {
  @Test func duplicateKeysAreErrors() {
    #expect(
      message(yaml: leastRecipe + "\nrun: {output: b}").contains("the key `run` stands here twice"))
    #expect(message(yaml: "'1': a\n1: b").contains("the key `1` stands here twice"))
  }

  @Test func tabsAreNamed() {
    let text = message(yaml: "run:\n\toutput: x")
    #expect(text.hasPrefix("r.yaml:2: not valid YAML"))
    #expect(text.hasSuffix("(YAML is indented with spaces, not tabs)"))
  }

  @Test func aliasBombsAreRefusedAtOnce() {
    var bomb = "a: &a [x, x, x, x, x, x, x, x, x]\n"
    for (name, before) in zip("bcdefghi", "abcdefgh") {
      bomb +=
        "\(name): &\(name) [" + Array(repeating: "*\(before)", count: 9).joined(separator: ", ")
        + "]\n"
    }
    #expect(message(yaml: bomb + "? *i\n: 1\n").contains("anchors (`&name`) are not supported"))
    #expect(message(yaml: "a: *b").contains("not valid YAML"))
    #expect(message(yaml: "{\"a\":&x 1}").contains("anchors"))
  }

  @Test func depthAndSizeAreLimited() {
    for depth in [100, 900, 100_000] {
      let text = message(yaml: String(repeating: "[", count: depth))
      #expect(text.contains("not valid YAML") && !text.contains("\n"))
      let closed = String(repeating: "[", count: depth) + String(repeating: "]", count: depth)
      #expect(message(yaml: closed) != "no error")
      #expect(message(yaml: String(repeating: "- ", count: depth)) != "no error")
      #expect(message(yaml: String(repeating: "{a: ", count: depth)) != "no error")
    }
    let nested = String(repeating: "[", count: 70) + String(repeating: "]", count: 70)
    #expect(message(yaml: nested).contains("nested deeper than 64 levels"))
    #expect(
      message(yaml: "# " + String(repeating: "x", count: 2 << 20)).contains("not a recipe"))
  }

  @Test(arguments: [
    "!!python/object:os.system {}", "run: !!str 5", "run: !x {}", "a: 1\n---\nb: 2", "[1, 2]: 3",
    "- 1", "just text", "\u{0}", "a: \"\\q\"", "%YAML 9.9\n---\na: 1", "? \n? ", ": : :",
    "\u{FEFF}",
    "a: |\n  text\n b: 1", "<<: {run: {}}", "run: {output: \"\"}", "...", "--- &a", "{", "}", "'",
  ])
  func everyStrangeTextIsOneError(yaml: String) {
    let text = message(yaml: yaml)
    #expect(text != "no error")
    #expect(!text.contains("\n"), "\(text)")
  }

  @Test func carriageReturnsAndByteOrderMarksAreHarmless() throws {
    let plain = try Recipe.decode(yaml: leastRecipe)
    #expect(try Recipe.decode(yaml: leastRecipe.replacing("\n", with: "\r\n")) == plain)
    #expect(try Recipe.decode(yaml: "\u{FEFF}" + leastRecipe) == plain)
  }

  @Test func mutatedRecipesNeverCrash() {
    var state: UInt64 = 0x9E37_79B9_7F4A_7C15
    func next(_ bound: Int) -> Int {
      state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
      return Int(state >> 33) % bound
    }
    let spice = Array("{}[]:-&*!|>'\"%@`,?#~\n\t 0e\u{E9}".unicodeScalars)
    for _ in 0..<3000 {
      var scalars = Array(leastRecipe.unicodeScalars)
      for _ in 0...next(4) {
        scalars[next(scalars.count)] = spice[next(spice.count)]
      }
      var text = ""
      text.unicodeScalars.append(contentsOf: scalars)
      #expect(!message(yaml: text).contains("\n"))
    }
  }
}
