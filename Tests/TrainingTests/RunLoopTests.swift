import Testing
import Training

/// The order of what happens in a run, without a trainer.
@Suite struct RunLoopTests {
  private struct Failure: Error, Equatable { var what: String }

  /// Writes down what it is asked to do, and fails where it is told to.
  private final class Script: RunWork {
    var done: [String] = []
    var stopsAfter: Int?
    /// A step, or an evaluation, during which somebody asks to stop: it is given up.
    var stopsDuring: String?
    var fails: Set<String> = []
    var isWhole = true
    /// A step after which the run goes on from the one three before, once.
    var goesBack: Int?
    /// A step that is not saved, once: the run goes on from the one two before.
    var refusesToSave: Int?
    private var step = 0
    private var savedStep: Int

    init(savedStep: Int = 0) { self.savedStep = savedStep }

    private var isGivenUp = false

    private func act(_ what: String) throws {
      if what == stopsDuring { isGivenUp = true }
      if isGivenUp && !what.hasPrefix("save") { return }
      if fails.contains(what) { throw Failure(what: what) }
      done.append(what)
    }

    func isAskedToStop() -> Bool { isGivenUp || stopsAfter.map { step >= $0 } ?? false }
    func train(_ step: Int) throws -> Int? {
      try act("train \(step)")
      if isGivenUp { return nil }
      if goesBack == step {
        goesBack = nil
        (self.step, savedStep) = (step - 3, step - 3)
      } else {
        self.step = step
      }
      return self.step
    }
    func record(_ step: Int) throws { try act("record \(step)") }
    /// Saves every second step.
    func tendSaves(after step: Int) throws -> Int {
      step.isMultiple(of: 2) ? try save(step) : step
    }
    func save(_ step: Int) throws -> Int {
      guard step != savedStep else { return step }
      if refusesToSave == step {
        refusesToSave = nil
        (self.step, savedStep) = (step - 2, step - 2)
        return step - 2
      }
      try act("save \(step)")
      savedStep = step
      return step
    }
    func rescue(_ step: Int, after error: any Error) -> any Error {
      guard isWhole, step != savedStep else { return error }
      do {
        try act("rescue \(step)")
        return error
      } catch let second {
        return Failure(
          what: "\((error as? Failure)?.what ?? "") and \((second as? Failure)?.what ?? "")")
      }
    }
    func evaluate(_ step: Int, unlessDone: Bool) throws {
      try act((unlessDone ? "evaluate if missing " : "evaluate ") + "\(step)")
    }
  }

  private func loop(steps: Int = 4, after step: Int = 0, evaluateEvery: Int = 2) -> RunLoop {
    RunLoop(steps: steps, after: step) { $0.isMultiple(of: evaluateEvery) }
  }

  @Test func evaluatesAfterSaving() throws {
    let script = Script()
    var loop = loop()
    #expect(try loop.run(script))
    #expect(
      script.done == [
        "train 1", "record 1", "train 2", "record 2", "save 2", "evaluate 2", "train 3",
        "record 3", "train 4", "record 4", "save 4", "evaluate 4",
      ])
  }

  @Test func goingBackRepeatsTheStepsSince() throws {
    let script = Script()
    script.goesBack = 3
    script.stopsAfter = 4
    var loop = loop(steps: 5, evaluateEvery: 2)
    #expect(try !loop.run(script))
    #expect(
      script.done == [
        "train 1", "record 1", "train 2", "record 2", "save 2", "evaluate 2", "train 3",
        "train 1", "record 1", "train 2", "record 2", "save 2", "evaluate 2", "train 3",
        "record 3", "train 4", "record 4", "save 4",
      ])
    let again = Script(savedStep: 2)
    again.goesBack = 5
    var late = self.loop(steps: 6, after: 4, evaluateEvery: 2)
    #expect(try late.run(again))
    #expect(
      Array(again.done.prefix(4)) == [
        "evaluate if missing 4", "train 5", "evaluate if missing 2", "train 3",
      ])
  }

  @Test func aStepThatCannotBeSavedIsGoneBackFrom() throws {
    let script = Script()
    script.refusesToSave = 4
    var loop = loop(steps: 6, evaluateEvery: 2)
    #expect(try loop.run(script))
    let start = ["train 1", "record 1", "train 2", "record 2", "save 2", "evaluate 2"]
    let twice = ["train 3", "record 3", "train 4", "record 4"]
    #expect(
      script.done == start + twice + ["evaluate if missing 2"] + twice + [
        "save 4", "evaluate 4", "train 5", "record 5", "train 6", "record 6", "save 6",
        "evaluate 6",
      ])
    // The last step, and one after which somebody asks to stop.
    let last = Script(savedStep: 2)
    last.refusesToSave = 4
    var short = self.loop(steps: 4, after: 2)
    #expect(try short.run(last))
    #expect(last.done.suffix(2) == ["save 4", "evaluate 4"])
    let stopped = Script(savedStep: 1)
    (stopped.refusesToSave, stopped.stopsAfter) = (3, 3)
    var third = self.loop(steps: 5, after: 1, evaluateEvery: 9)
    #expect(try !third.run(stopped))
    #expect(third.step == 1)
  }

  @Test func aRestartMakesUpForAnEvaluationThatIsMissing() throws {
    let script = Script(savedStep: 2)
    var loop = loop(after: 2)
    #expect(try loop.run(script))
    #expect(script.done.first == "evaluate if missing 2")
    #expect(script.done.last == "evaluate 4")
    let finished = Script(savedStep: 4)
    var again = self.loop(after: 4)
    #expect(try again.run(finished))
    #expect(finished.done == ["evaluate if missing 4"])
  }

  @Test func aStopSavesOnceAndEndsBeforeTheEvaluation() throws {
    let script = Script()
    script.stopsAfter = 1
    var first = loop(evaluateEvery: 1)
    #expect(try !first.run(script))
    #expect(script.done == ["train 1", "record 1", "save 1"])
    let early = Script()
    early.stopsAfter = 0
    var none = loop()
    #expect(try !none.run(early))
    #expect(early.done == [])
  }

  @Test func aStepThatIsGivenUpIsNotRecordedAndTheOneBeforeIsSaved() throws {
    let script = Script()
    script.stopsDuring = "train 2"
    var loop = loop()
    #expect(try !loop.run(script))
    #expect(script.done == ["train 1", "record 1", "save 1"] && loop.step == 1)
  }

  /// Also the last one: a run without its last evaluation is not finished.
  @Test(arguments: [2, 4])
  func anEvaluationThatIsGivenUpEndsTheRun(_ step: Int) throws {
    let script = Script()
    script.stopsDuring = "evaluate \(step)"
    var loop = loop()
    #expect(try !loop.run(script))
    #expect(script.done.last == "save \(step)")
  }

  @Test(arguments: ["train 2", "record 1", "evaluate 1"])
  func whatFailsIsLeftAfterSaving(_ failing: String) throws {
    let script = Script()
    script.fails = [failing]
    var loop = loop(evaluateEvery: 1)
    #expect(throws: Failure(what: failing)) { try loop.run(script) }
    #expect(script.done.last == "rescue 1")
    #expect(script.done.filter { $0.hasPrefix("rescue") }.count == 1)
  }

  @Test func aStepThatIsSavedIsNotSavedAgain() throws {
    let script = Script()
    script.fails = ["evaluate 2"]
    var loop = loop()
    #expect(throws: Failure(what: "evaluate 2")) { try loop.run(script) }
    #expect(script.done.last == "save 2")
  }

  @Test func aStateInTheMiddleOfAnUpdateIsNotSaved() throws {
    let script = Script()
    (script.fails, script.isWhole) = (["train 2"], false)
    var loop = loop()
    #expect(throws: Failure(what: "train 2")) { try loop.run(script) }
    #expect(script.done == ["train 1", "record 1"])
  }

  @Test func whenSavingFailsTooBothAreSaid() throws {
    let script = Script()
    script.fails = ["train 2", "rescue 1"]
    var loop = loop()
    #expect(throws: Failure(what: "train 2 and rescue 1")) { try loop.run(script) }
  }

  /// Resumed from another run's checkpoint: this run's directory holds nothing yet.
  @Test func aForeignCheckpointIsSavedAtTheEnd() throws {
    let script = Script(savedStep: -1)
    var loop = loop(after: 4, evaluateEvery: 3)
    #expect(try loop.run(script))
    #expect(script.done == ["save 4"])
  }
}
