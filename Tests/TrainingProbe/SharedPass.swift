import CAllocationCounter
import Kernels
import LanguageModels
import Layers
import TensorStorage
import Training

/// The first of two parts of a sequence, alone: what it is told of the other is its own.
///
/// The numbers are nonsense; what is allocated is that of a real part.
struct SharedPass {
  private final class Echo: SequenceGroup {
    let (parts, part) = (2, 0)

    func gather(inPlace values: UnsafeMutablePointer<Float>, count: Int) {
      (values + count).update(from: values, count: count)
    }
  }

  /// Allocations of three warm gradients over several segments.
  static func allocations(_ recipe: Recipe) throws -> Int {
    configureBLAS()
    ThreadPool.configure(threadCount: recipe.parallel.threadsPerRank ?? 1)
    let run = try RunModel(recipe)
    let model = LanguageModel(run.configuration)
    let parameters = try run.initialParameters()
    let length = recipe.data.sequenceLength
    let pass = SequencePass(
      model, batch: 1, length: length, segmentLength: recipe.train.segmentLength,
      group: Echo())
    let tokens = [Int32](repeating: 1, count: length)
    let weights = [Float](repeating: 1, count: length)
    let gradients = FloatBuffer(count: model.layout.count)
    return try tokens.withUnsafeBufferPointer { tokens in
      try weights.withUnsafeBufferPointer { weights in
        guard let tokens = tokens.baseAddress, let weights = weights.baseAddress else { return -1 }
        let samples = SequenceSamples(inputs: tokens, targets: tokens, weights: weights)
        func gradient() throws {
          _ = try pass.gradient(
            of: samples, scale: 1, parameters: parameters.buffer.pointer,
            accumulatingInto: gradients.pointer)
        }
        try gradient()
        statex_start_counting_allocations("libopenblas")
        for _ in 0..<3 { try gradient() }
        return statex_stop_counting_allocations()
      }
    }
  }
}
