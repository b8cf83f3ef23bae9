import Testing
import Training

/// What a resumed run says of what has changed.
@Suite struct RunEnvironmentTests {
  private let here = RunEnvironment([
    ("statex", "0.1.0"), ("OpenBLAS", "SkylakeX"), ("ranks", "2"), ("threads", "1"),
  ])

  @Test("nothing changed, nothing said; what an old checkpoint does not know is not compared")
  func nothing() {
    #expect(here.notes(now: here, after: 4, isReproducible: true) == [])
    let old = RunEnvironment([("OpenBLAS", "SkylakeX")])
    #expect(old.notes(now: here, after: 4, isReproducible: true) == [])
  }

  @Test("ranks change no bit while sums are reproducible, libraries may")
  func changes() {
    var now = here
    now.entries[1].value = "Haswell"
    now.entries[2].value = "3"
    #expect(
      here.notes(now: now, after: 4, isReproducible: true) == [
        .information("changed since step 4: ranks 2 -> 3; the bits stay the same"),
        .warning(
          "changed since step 4: OpenBLAS SkylakeX -> Haswell; the bits of later steps may differ from those of an uninterrupted run"
        ),
      ])
    #expect(
      here.notes(now: now, after: 4, isReproducible: false) == [
        .warning(
          "changed since step 4: OpenBLAS SkylakeX -> Haswell, ranks 2 -> 3; the bits of later steps may differ from those of an uninterrupted run"
        )
      ])
  }

  @Test("recipe keys that move numbers, and those that do not")
  func keys() throws {
    func recipe(_ overrides: [String]) throws -> Recipe {
      try Recipe.decode(
        yaml: """
          run: {output: run}
          model: {config: {model_type: gla, hidden_size: 32, num_hidden_layers: 1, num_heads: 4,
            intermediate_size: 64, vocab_size: 64}}
          data: {sequence_length: 64, sources: [{task: mqar, pairs: 4, vocab: 64}]}
          train: {steps: 4}
          """, overrides: overrides)
    }
    let before = try recipe([]).settings
    #expect(before.contains { $0 == ("train.steps", "4") })
    #expect(before.contains { $0 == ("data.sources.0.task", "mqar") })
    #expect(!before.contains { $0.name == "run.output" })
    #expect(try recipe(["run.output=elsewhere", "run.name=run"]).notes(since: before, 4) == [])
    #expect(try recipe([]).notes(since: [], 4) == [], "an old checkpoint has none")
    let changed = try recipe(["train.optimizer.lr=0.5", "checkpoint.every=3"])
    #expect(
      changed.notes(since: before, 4) == [
        .information(
          "changed since step 4: train.optimizer.lr 0.0003 -> 0.5; the numbers of later steps may depend on that"
        ),
        .information(
          "changed since step 4: checkpoint.every 1000 -> 3; no number of later steps depends on that"
        ),
      ])
  }
}
