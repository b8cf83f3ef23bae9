import Foundation
import LanguageModels
import Layers
import TensorStorage

/// The gradient of every parameter group of a small model against central differences of the
/// reference model in `Double`.
package struct GradientCheck {
  private let configuration: ModelConfiguration
  private let seed: UInt64

  /// Largest error that passes, relative to the group's largest difference (plus 1e-6).
  static let tolerance = 1e-4

  /// Checks a shrunken copy of `configuration`: every option kept, every size small, one layer of
  /// each kind.
  package init(_ configuration: ModelConfiguration, seed: UInt64) {
    self.configuration = configuration.shrunken()
    self.seed = seed
  }

  /// Prints one line a parameter group and returns whether all pass.
  ///
  /// - Parameter disturb: changes the gradients before they are compared: a check that cannot fail is
  ///   none.
  /// - Returns: whether every tensor's gradient is right.
  /// - Throws: nothing in practice: the pass keeps its states in memory, and only spilled ones can fail.
  package func run(disturb: (ParameterArena) -> Void = { _ in }) throws -> Bool {
    let model = LanguageModel(configuration)
    let parameters = startingPoint(model)
    var random = CounterRandom(seed: seed, purpose: "debug/tokens")
    let (batch, length) = (2, 9)
    let vocabulary = configuration.vocabularySize
    let tokens = (0..<(batch * (length + 1))).map { _ in Int32(random.below(vocabulary)) }
    let inputs = (0..<(batch * length)).map { tokens[$0 / length * (length + 1) + $0 % length] }
    let targets = (0..<(batch * length)).map {
      tokens[$0 / length * (length + 1) + $0 % length + 1]
    }
    let weights = [Float](repeating: 1, count: inputs.count)

    let gradients = ParameterArena(layout: model.layout)
    let pass = SequencePass(model, batch: batch, length: length, segmentLength: 4)
    try inputs.withUnsafeBufferPointer { i in
      try targets.withUnsafeBufferPointer { t in
        try weights.withUnsafeBufferPointer { w in
          guard let i = i.baseAddress, let t = t.baseAddress, let w = w.baseAddress else { return }
          _ = try pass.gradient(
            of: SequenceSamples(inputs: i, targets: t, weights: w),
            scale: 1 / Float(batch * length), parameters: parameters.buffer.pointer,
            accumulatingInto: gradients.buffer.pointer)
        }
      }
    }
    disturb(gradients)
    var values: [String: [Double]] = [:]
    for slot in model.layout.slots {
      values[slot.name] = parameters.elements(slot).map(Double.init)
    }
    let reference = ReferenceModel(configuration)
    func loss(_ name: String, _ index: Int, _ change: Double) -> Double {
      var moved = values
      moved[name]?[index] += change
      return reference.loss(moved, inputs: inputs, targets: targets, weights: weights, batch: batch)
    }
    print("gradients compared with finite differences in Double, on a small copy of the model:")
    var passed = true
    for slot in model.layout.slots {
      var (worst, largest) = (0.0, 0.0)
      for _ in 0..<4 {
        let index = random.below(slot.count)
        let difference =
          (loss(slot.name, index, 1e-4) - loss(slot.name, index, -1e-4)) / 2e-4
        let error = abs(difference - Double(gradients.pointer(slot)[index]))
        if !(error <= worst) { worst = error }
        largest = max(largest, abs(difference))
      }
      let good = worst <= 1e-6 + Self.tolerance * largest
      passed = passed && good
      print("  \(good ? "pass" : "FAIL")  \(slot.name)  error \(String(format: "%.1e", worst))")
    }
    print(passed ? "gradients: pass" : "gradients: FAIL")
    return passed
  }

  /// Parameters large enough that every one matters.
  private func startingPoint(_ model: LanguageModel) -> ParameterArena {
    let parameters = ParameterArena(
      scratch: configuration,
      initialization: ScratchInitialization(embeddingDeviation: 1, linearDeviation: 0.4),
      seed: seed)
    var random = CounterRandom(seed: seed, purpose: "debug/perturb")
    for parameter in configuration.parameters() where parameter.startsWithoutDraw {
      guard let slot = model.layout[parameter.name] else { continue }
      for index in slot.range {
        parameters.buffer.pointer[index] += Float(0.3 * random.normal())
      }
    }
    return parameters
  }
}

extension ModelConfiguration {
  /// A copy with every option kept and every size small, and one layer of each kind.
  func shrunken() -> ModelConfiguration {
    var small: [LayerConfiguration] = []
    for layer in layers {
      let reduced = layer.shrunken(hiddenSize: 12)
      if !small.contains(reduced) { small.append(reduced) }
    }
    return ModelConfiguration(
      family: family, hiddenSize: 12, vocabularySize: 13, normEpsilon: normEpsilon,
      tiesEmbeddings: tiesEmbeddings, layers: small)
  }
}

extension ParameterSpecification {
  /// Whether its first values are the same for every seed, and so perhaps too simple to show an error.
  fileprivate var startsWithoutDraw: Bool {
    if case .values = initializer { true } else { shape.count == 1 }
  }
}
