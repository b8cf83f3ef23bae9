import Optimizers
import Testing

/// Learning rates against numbers worked out by hand.
@Suite("learning rate schedule")
struct LearningRateScheduleTests {
  private func schedule(
    _ shape: LearningRateSchedule.Shape, warmup: Int = 4, steps: Int = 12
  ) -> LearningRateSchedule {
    LearningRateSchedule(
      peak: 1, minimum: 0.2, warmupSteps: warmup, steps: steps, shape: shape)
  }

  private func expect(
    _ schedule: LearningRateSchedule, _ values: [Int: Double],
    sourceLocation: SourceLocation = #_sourceLocation
  ) {
    for (step, value) in values {
      #expect(
        abs(schedule[step] - value) < 1e-12, "step \(step): \(schedule[step])",
        sourceLocation: sourceLocation)
    }
  }

  @Test("warm-up rises linearly and reaches the peak at its last step")
  func warmup() {
    for shape in [LearningRateSchedule.Shape.cosine, .linear, .constant] {
      expect(schedule(shape), [1: 0.25, 2: 0.5, 3: 0.75, 4: 1])
    }
  }

  @Test("cosine falls to the minimum at the last step")
  func cosine() {
    // min + 0.8 * 0.5 * (1 + cos(pi (s - 4) / 8)).
    expect(
      schedule(.cosine),
      [
        5: 0.969551813004515, 6: 0.882842712474619, 8: 0.6, 10: 0.317157287525381,
        11: 0.230448186995485, 12: 0.2,
      ])
    expect(schedule(.cosine, warmup: 0, steps: 2), [1: 0.6, 2: 0.2])
  }

  @Test("linear, constant, and warm-up stable decay")
  func others() {
    expect(schedule(.linear), [5: 0.9, 8: 0.6, 12: 0.2])
    expect(schedule(.constant), [5: 1, 12: 1])
    expect(
      schedule(.warmupStableDecay(decaySteps: 4)),
      [2: 0.5, 4: 1, 5: 1, 8: 1, 9: 0.8, 10: 0.6, 11: 0.4, 12: 0.2])
  }

  @Test("the paper's recipe")
  func paper() {
    let paper = LearningRateSchedule(
      peak: 3e-4, minimum: 0, warmupSteps: 1000, steps: 20_000, shape: .cosine)
    #expect(abs(paper[1] - 3e-7) < 1e-18)
    #expect(paper[1000] == 3e-4)
    #expect(abs(paper[10_500] - 1.5e-4) < 1e-15)
    #expect(abs(paper[20_000]) < 1e-18)
  }
}
