import Kernels
import LanguageModels
import Layers
import TensorStorage
import Testing

/// What a model relies on is checked where it is used, in release builds too, with the numbers.
@Suite("boundaries of a model")
struct BoundaryTests {
  private static let vocabulary = 11

  /// Runs a model forward and takes the loss, each token of the segment and each target being the given one.
  private static func run(_ token: Int32, target: Int32, length: Int, room: Int) {
    configureBLAS()
    let layer = GLAConfiguration(
      hiddenSize: 8, headCount: 2, keyDim: 4, valueDim: 8, intermediateSize: 16)
    let model = LanguageModel(
      ModelConfiguration(
        family: .gla, hiddenSize: 8, vocabularySize: vocabulary, normEpsilon: 1e-6,
        tiesEmbeddings: true, layers: [.gla(layer)]))
    let parameters = FloatBuffer(count: model.layout.count)
    let state = FloatBuffer(count: model.stateCount(batch: 1))
    let activations = SegmentActivations(
      model, dims: SegmentDims(batch: 1, length: room), trains: false)
    let dims = SegmentDims(batch: 1, length: length)
    let tokens = [Int32](repeating: token, count: length)
    let targets = [Int32](repeating: target, count: length)
    let weights = [Float](repeating: 1, count: length)
    tokens.withUnsafeBufferPointer { tokens in
      targets.withUnsafeBufferPointer { targets in
        weights.withUnsafeBufferPointer { weights in
          guard let t = tokens.baseAddress, let w = targets.baseAddress, let v = weights.baseAddress
          else { return }
          model.forward(
            SegmentTokens(t), parameters: parameters.pointer, stateInPlace: state.pointer,
            activations, dims: dims)
          _ = model.loss(
            CrossEntropyTargets(targets: w, weights: v, scale: 1),
            parameters: parameters.pointer, gradients: nil, activations, dims: dims)
        }
      }
    }
  }

  private func expect(
    _ result: ExitTest.Result?, says text: String,
    sourceLocation: SourceLocation = #_sourceLocation
  ) {
    let message = String(decoding: result?.standardErrorContent ?? [], as: UTF8.self)
    #expect(message.contains(text), "\(message)", sourceLocation: sourceLocation)
  }

  @Test("a segment that fits runs")
  func fits() { Self.run(10, target: 10, length: 8, room: 8) }

  @Test("a segment larger than its activations ends the program")
  func tooLong() async {
    let result = await #expect(
      processExitsWith: .failure, observing: [\.standardErrorContent]
    ) {
      Self.run(1, target: 1, length: 9, room: 8)
    }
    expect(result, says: "a segment of 1 x 9 tokens (1 parts) in activations of 1 x 8 (1 parts)")
  }

  @Test("a token or a target outside the vocabulary ends the program")
  func outsideVocabulary() async {
    let token = await #expect(
      processExitsWith: .failure, observing: [\.standardErrorContent]
    ) {
      Self.run(11, target: 1, length: 8, room: 8)
    }
    expect(token, says: "token 11 of a vocabulary of 11")
    let target = await #expect(
      processExitsWith: .failure, observing: [\.standardErrorContent]
    ) {
      Self.run(1, target: -1, length: 8, room: 8)
    }
    expect(target, says: "target -1 of a vocabulary of 11")
  }
}
