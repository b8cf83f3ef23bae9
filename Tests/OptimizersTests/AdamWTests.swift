import Foundation
import Optimizers
import TensorStorage
import Testing

/// The optimizer over an arena, against the textbook in `Double`.
@Suite("AdamW", .serialized)
struct AdamWTests {
  private func layout() -> ParameterLayout {
    var layout = ParameterLayout()
    layout.append(name: "matrix", shape: [5, 7])
    layout.append(name: "vector", shape: [19])
    layout.append(name: "filter", shape: [3, 1, 4])
    return layout
  }

  private func normals(_ count: Int, _ name: String) -> [Float] {
    var random = CounterRandom(seed: 9, purpose: name)
    return (0..<count).map { _ in Float(random.normal()) }
  }

  private func fill(_ arena: ParameterArena, _ name: String) {
    for slot in arena.layout.slots {
      for (i, value) in normals(slot.count, name + slot.name).enumerated() {
        arena.pointer(slot)[i] = value
      }
    }
  }

  @Test("twelve clipped steps with decay on matrices only", arguments: [nil, 1.0, 1e6])
  func steps(_ clip: Double?) {
    let layout = layout()
    let configuration = AdamWConfiguration(
      beta1: 0.9, beta2: 0.95, epsilon: 1e-8, weightDecay: 0.1, gradientClip: clip)
    let optimizer = AdamW(configuration, layout: layout)
    let (parameters, gradients) = (ParameterArena(layout: layout), ParameterArena(layout: layout))
    fill(parameters, "start")
    var expected = layout.slots.map { parameters.elements($0).map(Double.init) }
    var (m, v) = (expected.map { $0.map { _ in 0.0 } }, expected.map { $0.map { _ in 0.0 } })
    for t in 1...12 {
      fill(gradients, "gradient \(t)")
      let all = layout.slots.map { gradients.elements($0).map(Double.init) }
      let norm = all.joined().reduce(0) { $0 + $1 * $1 }.squareRoot()
      #expect(abs(GradientNorm(count: layout.count)(gradients.buffer) - norm) < 1e-12 * norm)
      let lr = 1e-2 * Double(t)
      optimizer.update(
        parameters.buffer, gradients: gradients.buffer, step: t, lr: lr, gradientNorm: norm)
      let scale = clip.map { norm > $0 ? $0 / (norm + 1e-6) : 1 } ?? 1
      for (s, slot) in layout.slots.enumerated() {
        for i in 0..<slot.count {
          let g = all[s][i] * scale
          m[s][i] = 0.9 * m[s][i] + 0.1 * g
          v[s][i] = 0.95 * v[s][i] + 0.05 * g * g
          if slot.name != "vector" { expected[s][i] *= 1 - lr * 0.1 }
          let root = (v[s][i] / (1 - pow(0.95, Double(t)))).squareRoot()
          expected[s][i] -= lr * (m[s][i] / (1 - pow(0.9, Double(t)))) / (root + 1e-8)
        }
      }
    }
    for (s, slot) in layout.slots.enumerated() {
      for (actual, wanted) in zip(parameters.elements(slot), expected[s]) {
        #expect(abs(Double(actual) - wanted) < 3e-6 * max(1, abs(wanted)), "\(slot.name)")
      }
    }
    let used = Set(layout.slots.flatMap { Array($0.range) })
    for index in 0..<layout.count where !used.contains(index) {
      #expect(parameters.buffer.pointer[index] == 0, "padding stays zero")
    }
  }

  @Test("clipping starts above the limit")
  func clipFactor() {
    func factor(_ norm: Double, clip: Double?) -> Double {
      AdamW(
        AdamWConfiguration(
          beta1: 0.9, beta2: 0.95, epsilon: 1e-8, weightDecay: 0, gradientClip: clip),
        layout: layout()
      ).clipFactor(norm: norm)
    }
    #expect(factor(0.5, clip: 1) == 1 && factor(1, clip: 1) == 1)
    #expect(factor(4, clip: 1) == 1 / (4 + 1e-6))
    #expect(factor(4, clip: nil) == 1)
  }

  @Test("the gradient norm of long arenas, and of broken ones")
  func gradientNorm() {
    let count = 200_003
    let buffer = FloatBuffer(count: count)
    var sum = 0.0
    for (i, value) in normals(count, "long").enumerated() {
      buffer.pointer[i] = value
      sum += Double(value) * Double(value)
    }
    let norm = GradientNorm(count: count)
    #expect(abs(norm(buffer) - sum.squareRoot()) < 1e-12 * sum.squareRoot())
    buffer.pointer[count - 1] = .infinity
    #expect(norm(buffer) == .infinity)
    buffer.pointer[70_000] = .nan
    #expect(norm(buffer).isNaN)
  }
}
