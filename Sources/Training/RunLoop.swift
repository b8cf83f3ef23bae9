/// What a run does in its steps; every rank does the same.
package protocol RunWork: AnyObject {
  /// Whether any rank was asked to stop.
  func isAskedToStop() throws -> Bool
  /// Runs a step, counted from 1.
  ///
  /// - Returns: whether it is done; not so if it was given up because somebody asked to stop.
  func train(_ step: Int) throws -> Bool
  /// Writes down what the step did that ran last.
  func record(_ step: Int) throws
  /// Saves everything after a step; `leaving` when the run ends with an error, and metrics may be what
  /// failed.
  func save(_ step: Int, leaving: Bool) throws
  /// Measures the model after a step, unless somebody asks to stop; with `unlessDone` a row of that step
  /// that stands already is enough.
  func evaluate(_ step: Int, unlessDone: Bool) throws
  /// Whether, after an error, all ranks have it and hold the whole state after the last step.
  func canSave(after error: any Error) -> Bool
  /// What stopped the run, and what kept its last step from being saved, as one error.
  func joined(_ error: any Error, _ second: any Error) -> any Error
}

/// The order of what happens in a run: train, record, save, evaluate.
///
/// What can fail by a user's mistake comes after saving, and an error that leaves the state whole is left
/// only after saving.
package struct RunLoop {
  /// Steps altogether.
  package let steps: Int
  /// Steps between two checkpoints; 0 saves at the end only.
  package let saveEvery: Int
  /// Whether the model is measured after that step.
  package let isEvaluationDue: (_ step: Int) -> Bool
  /// Steps done.
  package private(set) var step: Int
  /// The step saved last.
  package private(set) var savedStep: Int

  /// A loop that goes on after `step`.
  package init(
    steps: Int, saveEvery: Int, after step: Int, savedStep: Int,
    isEvaluationDue: @escaping (_ step: Int) -> Bool
  ) {
    self.steps = steps
    self.saveEvery = saveEvery
    self.step = step
    self.savedStep = savedStep
    self.isEvaluationDue = isEvaluationDue
  }

  /// Trains to the last step, or until somebody asks to stop.
  ///
  /// - Returns: whether all steps are done.
  /// - Throws: what stopped it, after saving where that is possible.
  package mutating func run(_ work: some RunWork) throws -> Bool {
    do {
      return try advance(work)
    } catch  where step != savedStep && work.canSave(after: error) {
      do {
        try save(work, leaving: true)
      } catch let second {
        throw work.joined(error, second)
      }
      throw error
    }
  }

  private mutating func advance(_ work: some RunWork) throws -> Bool {
    // After a restart: the run before may have ended between a checkpoint and its evaluation.
    var isResumed = true
    while true {
      if try work.isAskedToStop() {
        if step != savedStep { try save(work) }
        return false
      }
      if step > 0 && isEvaluationDue(step) {
        try work.evaluate(step, unlessDone: isResumed)
        // It may have been given up.
        if try work.isAskedToStop() { continue }
      }
      isResumed = false
      guard step < steps else { break }
      guard try work.train(step + 1) else { continue }
      step += 1
      try work.record(step)
      let isDue = saveEvery > 0 && step.isMultiple(of: saveEvery)
      if isDue || step == steps { try save(work) }
    }
    if step != savedStep { try save(work) }
    return true
  }

  private mutating func save(_ work: some RunWork, leaving: Bool = false) throws {
    try work.save(step, leaving: leaving)
    savedStep = step
  }
}
