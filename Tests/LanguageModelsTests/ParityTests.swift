import Kernels
import LanguageModels
import Optimizers
import TensorStorage
import Testing

/// The whole models against PyTorch running fla's and transformers' modules.
@Suite("models against PyTorch", .serialized)
struct ParityTests {
  init() { configureBLAS() }

  static let runs = ReferenceFixture.names.flatMap { name in [7, 64, 100].map { (name, $0) } }

  @Test("loss and every gradient, whole and in segments", arguments: runs)
  func gradients(name: String, segment: Int) throws {
    let fixture = try ReferenceFixture(name)
    let model = LanguageModel(fixture.configuration)
    let batch = NextTokenBatch(fixture.reference.tokens)
    let pass = SequencePass(
      model, batch: batch.batch, length: batch.length, segmentLength: segment)
    let gradients = ParameterArena(layout: model.layout)
    let count = Double(batch.batch * batch.length)
    let sum = try pass.gradient(
      of: batch, scale: Float(1 / count),
      parameters: fixture.parameters.buffer.pointer,
      accumulatingInto: gradients.buffer.pointer)
    #expect(abs(sum / count - fixture.reference.loss) < 1e-5)

    var checked = 0
    for slot in model.layout.slots {
      let wanted = try #require(fixture.tensor(slot.name), "no reference gradient of \(slot.name)")
      let error = relativeDifference(Array(gradients.elements(slot)), wanted)
      #expect(error < 1e-4, "\(slot.name): \(error)")
      checked += 1
    }
    #expect(checked == model.layout.slots.count)
    let norm = GradientNorm(count: model.layout.count)(gradients.buffer)
    #expect(abs(norm / fixture.reference.gradientNorm - 1) < 1e-5)
  }

  @Test("per-token likelihoods, forward only", arguments: ReferenceFixture.names)
  func tokenLikelihoods(name: String) throws {
    let fixture = try ReferenceFixture(name)
    let model = LanguageModel(fixture.configuration)
    let batch = NextTokenBatch([fixture.reference.tokens[0]])
    let pass = SequencePass(
      model, batch: 1, length: batch.length, segmentLength: 40, trains: false)
    var nll: [Float] = []
    _ = pass.loss(of: batch, parameters: fixture.parameters.buffer.pointer) {
      for t in 0..<$1 { nll.append($2[t]) }
      _ = $0
    }
    #expect(nll.count == fixture.reference.tokenNLL.count)
    for (mine, theirs) in zip(nll, fixture.reference.tokenNLL) {
      #expect(abs(Double(mine) - theirs) < 2e-5)
    }
  }

  @Test(
    "twelve AdamW steps: losses, and what they add to every weight",
    arguments: ReferenceFixture.names)
  func training(name: String) throws {
    let fixture = try ReferenceFixture(name)
    let model = LanguageModel(fixture.configuration)
    let optimizer = AdamW(
      AdamWConfiguration(
        beta1: 0.9, beta2: 0.95, epsilon: 1e-8, weightDecay: 0.1, gradientClip: 1),
      layout: model.layout)
    let parameters = fixture.parameters.buffer
    let before = fixture.parameters.layout.slots.map { Array(fixture.parameters.elements($0)) }
    let gradients = FloatBuffer(count: model.layout.count)
    let norm = GradientNorm(count: model.layout.count)
    let reference = fixture.reference.training
    for (index, tokens) in reference.batches.enumerated() {
      let batch = NextTokenBatch(tokens)
      let pass = SequencePass(model, batch: batch.batch, length: batch.length, segmentLength: 64)
      gradients.fill(0)
      let count = Double(batch.batch * batch.length)
      let sum = try pass.gradient(
        of: batch, scale: Float(1 / count), parameters: parameters.pointer,
        accumulatingInto: gradients.pointer)
      #expect(abs(sum / count - reference.float64.losses[index]) < 1e-3, "step \(index + 1)")
      optimizer.update(
        parameters, gradients: gradients, step: index + 1, lr: 1e-3, gradientNorm: norm(gradients))
    }
    for (slot, before) in zip(fixture.parameters.layout.slots, before) {
      let update = zip(fixture.parameters.elements(slot), before).map { $0 - $1 }
      try fixture.expectUpdate(update, of: slot.name)
    }
  }
}

extension ReferenceFixture {
  /// Compares what training added to a tensor with what PyTorch added in float64: at evenly spaced
  /// elements, in Euclidean distance, and in length over the whole tensor.
  ///
  /// AdamW divides by a gradient's size, so an element whose gradient is within rounding of 0 (that of a
  /// shut gate) may move either way: elements below 1e-3 of their tensor's largest gradient are left out.
  fileprivate func expectUpdate(_ update: [Float], of name: String) throws {
    let wanted = try #require(tensor("update/" + name), "no reference update of \(name)")
    let gradient = try #require(tensor(name)).map(abs)
    let length = try #require(reference.training.updateNorms[name])
    let sampled = Array(stride(from: 0, to: update.count, by: (update.count + 511) / 512))
    #expect(sampled.count == wanted.count)
    let floor = 1e-3 * (gradient.max() ?? 0)
    let compared = sampled.indices.filter { gradient[sampled[$0]] > floor }
    try #require(compared.count * 4 > sampled.count, "\(name): hardly any gradients")
    let distance =
      norm(compared.map { update[sampled[$0]] - wanted[$0] }) / norm(compared.map { wanted[$0] })
    #expect(distance < 5e-4, "\(name): \(distance)")
    #expect(abs(norm(update) / length - 1) < 5e-4, "\(name): \(norm(update)), not \(length)")
  }

  private func norm(_ values: [Float]) -> Double {
    values.reduce(0) { $0 + Double($1) * Double($1) }.squareRoot()
  }
}

/// Largest absolute difference over the largest absolute reference; NaN when any value is.
func relativeDifference(_ x: [Float], _ reference: [Float]) -> Double {
  guard x.count == reference.count else { return .infinity }
  var (worst, largest) = (Float(0), Float(0))
  for (a, b) in zip(x, reference) {
    if !(abs(a - b) <= worst) { worst = abs(a - b) }
    largest = max(largest, abs(b))
  }
  return Double(worst / max(largest, 1e-30))
}
