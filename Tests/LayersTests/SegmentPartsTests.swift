import Kernels
import Layers
import TensorStorage
import Testing
import ThreadedParts

/// Blocks whose segment is shared by several parts, each on a thread, against the whole segment.
@Suite("blocks in parts", .serialized)
struct SegmentPartsTests {
  init() { configureBLAS() }

  /// A block and its parameters.
  struct Model: CustomTestStringConvertible, Sendable {
    let testDescription: String
    let parameters: [ParameterSpecification]
    let width: Int
    let block: @Sendable (ParameterLayout) -> any RecurrentBlock

    init(_ name: String, _ c: GLAConfiguration) {
      testDescription = "GLA, \(name)"
      width = c.hiddenSize
      parameters = c.parameters(prefix: "", initialization: .init(linearDeviation: 0.3))
      block = {
        var scope = ParameterScope(prefix: "", layout: $0)
        return c.block(&scope)
      }
    }

    init(_ name: String, _ c: Mamba2Configuration) {
      testDescription = "Mamba2, \(name)"
      width = c.hiddenSize
      parameters = c.parameters(prefix: "", initialization: .init(linearDeviation: 0.3))
      block = {
        var scope = ParameterScope(prefix: "", layout: $0)
        return c.block(&scope)
      }
    }
  }

  static let models: [Model] = {
    let plain = GLAConfiguration(
      hiddenSize: 24, headCount: 4, keyDim: 16, valueDim: 24, intermediateSize: 20)
    var rich = plain
    rich.keyValueHeadCount = 2
    rich.convolutionSize = 4
    rich.featureMap = .gelu
    var mixed = plain
    mixed.hasHeadMixing = true
    var everything = rich
    everything.hasHeadMixing = true
    let mamba = Mamba2Configuration(hiddenSize: 24, headCount: 4, headDim: 12, stateSize: 7)
    var grouped = Mamba2Configuration(
      hiddenSize: 24, headCount: 6, headDim: 8, stateSize: 5, groupCount: 3)
    grouped.convolutionSize = 3
    grouped.hasProjectionBias = true
    var single = mamba
    single.convolutionSize = 1
    return [
      Model("plain", plain), Model("merged", plain.dividedIntoHeads(1)),
      Model("convolution, groups, feature map", rich), Model("head mixing", mixed),
      Model("head mixing, convolution, groups", everything), Model("plain", mamba),
      Model("groups, biases, kernel 3", grouped), Model("kernel 1", single),
    ]
  }()

  static let splits: [SegmentSplit] = [
    SegmentSplit(length: 150, parts: 2, capacity: 128),
    SegmentSplit(length: 197, parts: 3, capacity: 66),
    SegmentSplit(length: 190, parts: 3, capacity: 64),
    SegmentSplit(length: 7, parts: 4, capacity: 2),
    SegmentSplit(length: 4, parts: 4, capacity: 64),
  ]

  /// What a part computes.
  struct Results {
    let y, dx, state, dstate, gradients: [Float]
  }

  @Test("outputs, states and gradients are those of the whole", arguments: models, splits)
  func agrees(_ model: Model, _ split: SegmentSplit) {
    let job = Job(model, batch: 2, length: split.length)
    let whole = job.run(rows: 0..<split.length, part: nil)
    let (parts, gathers) = ThreadedParts.run(split.parts) { part, group in
      job.run(
        rows: split[part],
        part: SegmentPart(split, of: group))
    }
    func expect(_ name: String, _ mine: [Float], _ reference: [Float], _ bound: Double) {
      let largest = reference.reduce(0) { max($0, abs(Double($1))) }
      var worst = mine.count == reference.count ? 0 : Double.infinity
      for (a, b) in zip(mine, reference) where !(abs(Double(a) - Double(b)) <= worst) {
        worst = abs(Double(a) - Double(b))
      }
      #expect(worst <= bound * largest, "\(name): \(worst) of \(largest)")
    }
    expect("y", job.joined(parts.map(\.y)), whole.y, 2e-6)
    expect("dx", job.joined(parts.map(\.dx)), whole.dx, 2e-6)
    for part in parts {
      expect("state", part.state, whole.state, 2e-6)
      expect("dstate", part.dstate, whole.dstate, 5e-6)
      #expect(part.state == parts[0].state && part.dstate == parts[0].dstate, "other bits")
    }
    for slot in job.layout.slots {
      let sum = slot.range.map { i in parts.reduce(Float(0)) { $0 + $1.gradients[i] } }
      // Gates' gradients are sums of terms that cancel.
      let isGate = slot.name.contains("gk_proj") || slot.name.hasSuffix("A_log")
      expect(slot.name, sum, Array(whole.gradients[slot.range]), isGate ? 2e-5 : 5e-6)
    }
    let wanted = job.block.memory(job.dims(split.length, parts: split.parts)).shared
    #expect(gathers.reduce(0, +) == 2 * wanted)
  }

  @Test("parts give the same bits again")
  func repeats() {
    let split = SegmentSplit(length: 197, parts: 3, capacity: 66)
    for model in [Self.models[4], Self.models[6]] {
      let job = Job(model, batch: 2, length: split.length)
      let runs = (0..<2).map { _ in
        ThreadedParts.run(split.parts) { part, group in
          job.run(
            rows: split[part],
            part: SegmentPart(split, of: group))
        }.results
      }
      for (a, b) in zip(runs[0], runs[1]) {
        #expect(a.y == b.y && a.dx == b.dx && a.gradients == b.gradients && a.state == b.state)
      }
    }
  }

  /// Memory of NaNs with guards behind it.
  private struct Area {
    private let buffer: FloatBuffer
    private let count: Int

    init(_ count: Int) {
      (buffer, self.count) = (FloatBuffer(count: count + 64), count)
      buffer.fill(12345.5)
      poison()
    }

    func poison() { buffer.pointer.update(repeating: .nan, count: count) }
    var plan: MemoryPlan { MemoryPlan(buffer.pointer, capacity: count) }
    var isIntact: Bool { buffer.elements[count...].allSatisfy { $0 == 12345.5 } }
  }

  /// A block with inputs for a whole segment.
  struct Job {
    let block: any RecurrentBlock
    let layout: ParameterLayout
    private let model: Model
    private let (batch, length): (Int, Int)
    private let parameters, x, dy, state, dstate: [Float]

    init(_ model: Model, batch: Int, length: Int) {
      (self.model, self.batch, self.length) = (model, batch, length)
      var layout = ParameterLayout()
      for p in model.parameters { layout.append(name: p.name, shape: p.shape) }
      self.layout = layout
      block = model.block(layout)
      let arena = ParameterArena(layout: layout)
      for p in model.parameters {
        guard let elements = arena[p.name] else { continue }
        p.initializer.fill(elements, shape: p.shape, name: p.name, seed: 3)
        let noise = Self.normals(elements.count, p.name, 0.2)
        for i in elements.indices where p.shape.count == 1 { elements[i] += noise[i] }
      }
      parameters = arena.buffer.array()
      let count = batch * length * model.width
      (x, dy) = (Self.normals(count, "x", 1), Self.normals(count, "dy", 1))
      let states = block.stateCount(batch: batch)
      (state, dstate) = (Self.normals(states, "state", 1), Self.normals(states, "dstate", 1))
    }

    private static func normals(_ count: Int, _ name: String, _ deviation: Double) -> [Float] {
      var random = CounterRandom(seed: 7, purpose: name)
      return (0..<count).map { _ in Float(deviation * random.normal()) }
    }

    func dims(_ length: Int, parts: Int) -> SegmentDims {
      SegmentDims(batch: batch, length: length, parts: parts)
    }

    /// The whole `[B, T, D]` from the parts' rows.
    func joined(_ parts: [[Float]]) -> [Float] {
      (0..<batch).flatMap { b in
        parts.flatMap { $0[(b * $0.count / batch)..<((b + 1) * $0.count / batch)] }
      }
    }

    private func buffer(_ values: [Float]) -> FloatBuffer {
      let buffer = FloatBuffer(count: values.count)
      for (i, value) in values.enumerated() { buffer.pointer[i] = value }
      return buffer
    }

    private func poisoned(_ count: Int) -> FloatBuffer {
      let buffer = FloatBuffer(count: count)
      buffer.fill(.nan)
      return buffer
    }

    /// Forward and backward over some rows, which are all of them when `part` is nil.
    func run(rows: Range<Int>, part: SegmentPart?) -> Results {
      let dims = dims(rows.count, parts: part?.parts ?? 1)
      func cut(_ x: [Float]) -> FloatBuffer {
        buffer(
          (0..<batch).flatMap { b in
            x[
              ((b * length + rows.lowerBound)
                * model.width)..<((b * length + rows.upperBound) * model.width)]
          })
      }
      let (x, dx) = (cut(x), cut(dy))
      let y = poisoned(x.count)
      let (before, next, dnext) = (buffer(state), buffer(state), buffer(dstate))
      let memory = block.memory(dims)
      let (saved, scratch) = (Area(memory.saved), Area(memory.scratch))
      let weights = buffer(parameters)
      let gradients = FloatBuffer(count: layout.count)
      var context = BlockContext(
        parameters: weights.pointer, gradients: gradients.pointer,
        saved: saved.plan, scratch: scratch.plan, dims: dims, part: part)
      withExtendedLifetime((x, saved, scratch, weights, before)) {
        block.forward(x.pointer, into: y.pointer, stateInPlace: next.pointer, &context)
        scratch.poison()
        block.backward(
          inPlace: dx.pointer, x: x.pointer, state: before.pointer, dstateInPlace: dnext.pointer,
          &context)
      }
      #expect(saved.isIntact && scratch.isIntact, "written behind the end")
      #expect(context.saved.peak == memory.saved && context.scratch.peak == memory.scratch)
      return Results(
        y: y.array(), dx: dx.array(), state: next.array(), dstate: dnext.array(),
        gradients: gradients.array())
    }
  }
}
