import TensorStorage
import Testing

/// Parts of one block of memory.
@Suite("memory plan")
struct MemoryPlanTests {
  @Test("parts follow each other, aligned, and are handed out again after a rewind")
  func parts() {
    let buffer = FloatBuffer(count: 64)
    var plan = MemoryPlan(buffer.pointer, capacity: 64)
    #expect(plan.take(3) == buffer.pointer)
    let mark = plan.used
    #expect(plan.take(17) == buffer.pointer + 16)
    plan.rewind(to: mark)
    #expect(plan.take(1) == buffer.pointer + 16)
    #expect(plan.used == 32 && plan.peak == 48)
  }

  @Test("a measuring plan runs nothing and tells what a real one needs")
  func measuring() {
    var plan = MemoryPlan.measuring()
    _ = plan.take(1)
    var part = plan.takePlan(20)
    _ = part.take(20)
    plan.run { Issue.record("there is no memory") }
    #expect(plan.isMeasuring && part.isMeasuring && plan.peak == 48)
  }

  @Test("a plan that is too small ends the program with both numbers")
  func overflow() async {
    let result = await #expect(
      processExitsWith: .failure, observing: [\.standardErrorContent]
    ) {
      let buffer = FloatBuffer(count: 32)
      var plan = MemoryPlan(buffer.pointer, capacity: 32)
      _ = plan.take(16)
      _ = plan.take(17)
    }
    let text = String(decoding: result?.standardErrorContent ?? [], as: UTF8.self)
    #expect(text.contains("a plan of 32 elements is asked for 48"))
  }
}
