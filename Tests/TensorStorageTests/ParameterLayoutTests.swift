import TensorStorage
import Testing

/// Where tensors lie in an arena, and how they are filled.
@Suite("parameter layout")
struct ParameterLayoutTests {
  private func layout() -> ParameterLayout {
    var layout = ParameterLayout()
    layout.append(name: "a", shape: [3, 5])
    layout.append(name: "b", shape: [16])
    layout.append(name: "c", shape: [1])
    return layout
  }

  @Test("slots are aligned, in order, and do not overlap")
  func slots() {
    let layout = layout()
    #expect(layout.slots.map(\.offset) == [0, 16, 32])
    #expect(layout.slots.map(\.range) == [0..<15, 16..<32, 32..<33])
    #expect(layout.count == 48 && layout.parameterCount == 32)
    #expect(layout["b"] == layout.slots[1] && layout["d"] == nil)
    #expect(layout.slots.map(\.isMatrix) == [true, false, false])
  }

  @Test("frozen tensors lie behind those that are trained")
  func frozen() {
    var layout = layout()
    #expect(layout.trainableCount == 48 && layout.trainableSlots.count == 3)
    layout.append(name: "d", shape: [2, 9], isTrainable: false)
    #expect(layout.trainableCount == 48 && layout.count == 80)
    #expect(layout.trainableSlots.map(\.name) == ["a", "b", "c"])
    var reordered = ParameterLayout()
    for name in ["c", "a", "b"] { reordered.append(name: name, shape: layout[name]?.shape ?? []) }
    reordered.append(name: "d", shape: [2, 9], isTrainable: false)
    #expect(reordered != layout && reordered.holdsTheSame(as: layout))
    reordered.append(name: "e", shape: [], isTrainable: false)
    #expect(!reordered.holdsTheSame(as: layout) && !layout.holdsTheSame(as: reordered))
  }

  @Test("an arena starts as zeros and names its tensors")
  func arena() {
    let arena = ParameterArena(layout: layout())
    #expect(arena.buffer.array().allSatisfy { $0 == 0 })
    arena["b"]?.update(repeating: 2)
    #expect(arena.buffer.array() == (0..<48).map { (16..<32).contains($0) ? 2 : 0 })
    #expect(arena["d"] == nil)
  }

  private func values(_ initializer: ParameterInitializer, _ name: String, seed: UInt64) -> [Float]
  {
    var values = [Float](repeating: .nan, count: 600)
    values.withUnsafeMutableBufferPointer {
      initializer.fill($0, shape: [20, 30], name: name, seed: seed)
    }
    return values
  }

  @Test("first values depend on seed and name, and keep their bounds")
  func initializers() {
    let xavier = ParameterInitializer.xavierUniform(gain: 2)
    let drawn = values(xavier, "w", seed: 1)
    let bound = Float(2 * (6.0 / 50).squareRoot())
    #expect(drawn.allSatisfy { abs($0) <= bound } && drawn.contains { abs($0) > 0.9 * bound })
    #expect(values(xavier, "w", seed: 1) == drawn)
    #expect(values(xavier, "w", seed: 2) != drawn && values(xavier, "v", seed: 1) != drawn)
    let normal = values(.normal(standardDeviation: 0.5), "w", seed: 1)
    let deviation = (normal.reduce(0) { $0 + $1 * $1 } / 600).squareRoot()
    #expect(abs(deviation - 0.5) < 0.06)
    #expect(values(.uniform(bound: 0.1), "w", seed: 1).allSatisfy { abs($0) <= 0.1 })
    #expect(values(.zeros, "w", seed: 1).allSatisfy { $0 == 0 })
    #expect(values(.ones, "w", seed: 1).allSatisfy { $0 == 1 })
    #expect(values(.values([1, 2, 3]), "w", seed: 1).prefix(4) == [1, 2, 3, 1])
  }

  @Test("buffers are zero, aligned, and filled whole")
  func buffers() {
    let a = FloatBuffer(count: 1000)
    #expect(a.array().allSatisfy { $0 == 0 } && UInt(bitPattern: a.pointer) % 64 == 0)
    a.fill(3)
    #expect(a.array() == [Float](repeating: 3, count: 1000))
    #expect(FloatBuffer(count: 0).array() == [])
  }
}
