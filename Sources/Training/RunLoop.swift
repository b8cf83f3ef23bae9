/// What a run does in its steps; every rank does the same.
package protocol RunWork: AnyObject {
  /// Whether any rank was asked to stop.
  func isAskedToStop() throws -> Bool
  /// Runs a step, counted from 1.
  ///
  /// - Returns: how many steps are done now: that one, or fewer if the run went back; nil if it was given up
  ///   because somebody asked to stop.
  func train(_ step: Int) throws -> Int?
  /// Writes down what the step did that ran last.
  func record(_ step: Int) throws
  /// Looks after the saves of a run that trains on after a step, and begins one that is due.
  ///
  /// - Returns: how many steps are done now: that one, or fewer if the run went back.
  func tendSaves(after step: Int) throws -> Int
  /// Returns when the step is saved, whether it was before or is now.
  ///
  /// - Returns: how many steps are done now, all of them saved: that one, or fewer if the run went back.
  func save(_ step: Int) throws -> Int
  /// Measures the model after a step, unless somebody asks to stop; with `unlessDone` a row of that step
  /// that stands already is enough.
  func evaluate(_ step: Int, unlessDone: Bool) throws
  /// Saves what can be saved after an error that came when `step` steps were done.
  ///
  /// Returns the error with which the run ends: that one, with what kept the step from being saved.
  func rescue(_ step: Int, after error: any Error) -> any Error
}

/// The order of what happens in a run: train, record, save, evaluate.
///
/// What can fail by a user's mistake comes after saving, and an error that leaves the state whole is left
/// only after saving.
package struct RunLoop {
  /// Steps altogether.
  package let steps: Int
  /// Whether the model is measured after that step.
  package let isEvaluationDue: (_ step: Int) -> Bool
  /// Steps done.
  package private(set) var step: Int

  /// A loop that goes on after `step`.
  package init(
    steps: Int, after step: Int, isEvaluationDue: @escaping (_ step: Int) -> Bool
  ) {
    self.steps = steps
    self.step = step
    self.isEvaluationDue = isEvaluationDue
  }

  /// Trains to the last step, or until somebody asks to stop.
  ///
  /// - Returns: whether all steps are done.
  /// - Throws: what stopped it, after saving where that is possible.
  package mutating func run(_ work: some RunWork) throws -> Bool {
    do { return try advance(work) } catch { throw work.rescue(step, after: error) }
  }

  private mutating func advance(_ work: some RunWork) throws -> Bool {
    // After a restart, or after going back: what ran before may have ended between a checkpoint and its
    // evaluation.
    var isResumed = true
    while true {
      if try work.isAskedToStop() {
        step = try work.save(step)
        return false
      }
      if step > 0 && isEvaluationDue(step) {
        try work.evaluate(step, unlessDone: isResumed)
        // It may have been given up.
        if try work.isAskedToStop() { continue }
      }
      isResumed = false
      if step == steps {
        step = try work.save(step)
        if step == steps { return true }
      }
      guard let done = try work.train(step + 1) else { continue }
      isResumed = done <= step
      step = done
      if isResumed { continue }
      try work.record(step)
      let kept = step < steps ? try work.tendSaves(after: step) : try work.save(step)
      isResumed = kept < step
      step = kept
    }
  }
}
