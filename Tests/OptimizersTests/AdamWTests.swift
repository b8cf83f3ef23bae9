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

  @Test(
    "parts of an arena, updated by different ranks, are the whole",
    arguments: [
      MomentPrecision.fp32, .bf16,
    ])
  func parts(_ precision: MomentPrecision) {
    var layout = ParameterLayout()
    for (name, shape) in [("a", [70, 90]), ("b", [77]), ("c", [3, 5001])] {
      layout.append(name: name, shape: shape)
    }
    layout.append(name: "frozen", shape: [9, 9], isTrainable: false)
    let configuration = AdamWConfiguration(
      beta1: 0.9, beta2: 0.95, epsilon: 1e-8, weightDecay: 0.1, gradientClip: 1,
      moments: precision)
    let partition = ArenaPartition(count: layout.trainableCount, parts: 3)
    let whole = AdamW(configuration, layout: layout)
    let ranks = (0..<3).map {
      AdamW(configuration, layout: layout, ranges: partition.ranges(of: $0))
    }
    let (parameters, shared) = (ParameterArena(layout: layout), ParameterArena(layout: layout))
    fill(parameters, "start")
    shared.buffer.pointer.update(from: parameters.buffer.pointer, count: layout.count)
    let frozen = parameters["frozen"].map(Array.init)
    let gradients = ParameterArena(layout: layout)
    for t in 1...3 {
      fill(gradients, "gradient \(t)")
      let norm = GradientNorm(count: layout.trainableCount)(gradients.buffer)
      for rank in 0..<3 {
        // What the others have is not read.
        let own = FloatBuffer(count: layout.trainableCount)
        own.fill(.nan)
        for range in partition.ranges(of: rank) {
          (own.pointer + range.lowerBound).update(
            from: gradients.buffer.pointer + range.lowerBound, count: range.count)
        }
        let mine = GradientNorm(partition, part: rank)
        let merged = mine(own) { sums, blocks in
          for block in 0..<blocks
          where !partition.ranges(of: rank).contains(where: { $0.contains(block << 12) }) {
            #expect(sums[block] == 0)
            let first = block << 12
            let count = min(1 << 12, layout.trainableCount - first)
            let part = FloatBuffer(count: count)
            part.pointer.update(from: gradients.buffer.pointer + first, count: count)
            let norm = GradientNorm(count: count)
            var kept = 0.0
            _ = norm(part) { sums, _ in kept = sums[0] }
            sums[block] = kept
          }
        }
        #expect(merged == norm)
        ranks[rank].update(
          shared.buffer, gradients: own, step: t, lr: 1e-2, gradientNorm: norm)
      }
      whole.update(
        parameters.buffer, gradients: gradients.buffer, step: t, lr: 1e-2, gradientNorm: norm)
      #expect(shared.buffer.array() == parameters.buffer.array())
    }
    #expect(parameters["frozen"].map(Array.init) == frozen)
    for (moment, parts) in [
      (whole.moment1, ranks.map(\.moment1)), (whole.moment2, ranks.map(\.moment2)),
    ] {
      let all = moment.array()
      for rank in 0..<3 {
        #expect(parts[rank].array() == partition.ranges(of: rank).flatMap { all[$0] })
      }
    }
  }

  @Test("moments in bfloat16 train like moments in fp32")
  func tracks() {
    // A least-squares problem with noise: both runs end at the same loss, close to each other.
    var layout = ParameterLayout()
    layout.append(name: "w", shape: [64, 64])
    let target = normals(64 * 64, "target")
    func run(_ precision: MomentPrecision) -> [Double] {
      let optimizer = AdamW(
        AdamWConfiguration(
          beta1: 0.9, beta2: 0.95, epsilon: 1e-8, weightDecay: 0, gradientClip: nil,
          moments: precision), layout: layout)
      let (w, g) = (FloatBuffer(count: layout.count), FloatBuffer(count: layout.count))
      var losses: [Double] = []
      for t in 1...400 {
        let noise = normals(64 * 64, "noise \(t)")
        var loss = 0.0
        for i in 0..<(64 * 64) {
          let error = w.pointer[i] - target[i]
          loss += Double(error * error)
          g.pointer[i] = error + noise[i]
        }
        losses.append(loss / 4096)
        optimizer.update(
          w, gradients: g, step: t, lr: 2e-2 * (1 - Double(t) / 401), gradientNorm: 1)
      }
      return losses
    }
    let (exact, rounded) = (run(.fp32), run(.bf16))
    #expect(exact[399] < 0.01 * exact[0])
    for step in [50, 100, 200, 300, 399] {
      #expect(abs(rounded[step] - exact[step]) < 0.02 * exact[step], "step \(step)")
    }
    #expect(rounded != exact)
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
