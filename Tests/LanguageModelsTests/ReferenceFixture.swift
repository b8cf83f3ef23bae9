import Files
import Foundation
import HuggingFaceInterop
import Kernels
import LanguageModels
import Layers
import TensorFiles
import TensorStorage

/// A small model and the numbers that PyTorch computed for it in float64: fla's modules by
/// `Tests/Fixtures/gla/make_gla_fixtures.py`, transformers' by
/// `Tests/Fixtures/mamba2/make_mamba2_fixtures.py`.
struct ReferenceFixture {
  struct Reference: Decodable {
    struct Curve: Decodable {
      var losses: [Double]
    }
    struct Training: Decodable {
      var batches: [[[Int32]]]
      var float64: Curve
      /// Length of what the steps added to each tensor.
      var updateNorms: [String: Double]

      enum CodingKeys: String, CodingKey {
        case batches, float64
        case updateNorms = "update_norms_float64"
      }
    }
    var tokens: [[Int32]]
    var loss: Double
    var gradientNorm: Double
    var tokenNLL: [Double]
    var training: Training

    enum CodingKeys: String, CodingKey {
      case tokens, training
      case loss = "loss_float64"
      case gradientNorm = "grad_norm_float64"
      case tokenNLL = "token_nll_float64"
    }
  }

  /// All cases, each the name of a family and of a case.
  static let names = [
    "gla/plain", "gla/expanded", "gla/conv_grouped", "gla/variants", "gla/no_gate",
    "gla/strong_gates", "mamba2/plain", "mamba2/expanded", "mamba2/grouped", "mamba2/odd",
    "mamba2/strong_gates",
  ]
  static let directory = URL(fileURLWithPath: #filePath).deletingLastPathComponent()
    .deletingLastPathComponent().appendingPathComponent("Fixtures").path

  let configuration: ModelConfiguration
  let parameters: ParameterArena
  let reference: Reference
  private let gradients: TensorFile

  init(_ name: String) throws {
    let directory = Self.directory + "/" + name
    let model = try HuggingFaceModel.load(directory: directory)
    (configuration, parameters) = (model.configuration, model.parameters)
    reference = try JSONDecoder().decode(
      Reference.self, from: Data(contentsOf: URL(fileURLWithPath: directory + "/reference.json")))
    gradients = try TensorFile(path: directory + "/reference.safetensors")
  }

  /// A tensor of the reference file.
  func tensor(_ name: String) -> [Float]? { gradients[name] }
}

/// A safetensors file of F32 tensors.
struct TensorFile {
  private let tensors: MappedFile
  private let header: SafetensorsHeader

  init(path: String) throws {
    tensors = try MappedFile(path: path)
    header = try SafetensorsHeader(tensors)
  }

  subscript(name: String) -> [Float]? {
    guard let tensor = header[name], tensor.dataType == .float32 else { return nil }
    let range = header.fileRange(of: tensor)
    return (0..<tensor.count).map {
      tensors.bytes.loadUnaligned(fromByteOffset: range.lowerBound + 4 * $0, as: Float.self)
    }
  }
}

/// Sequences of T + 1 tokens as inputs and targets, every target weighted.
final class NextTokenBatch {
  let (batch, length): (Int, Int)
  private let inputs: UnsafeMutablePointer<Int32>
  private let targets: UnsafeMutablePointer<Int32>
  private let weights: UnsafeMutablePointer<Float>
  private let history: UnsafeMutablePointer<Int32>?

  /// - Parameters:
  ///   - sequences: rows of T + 1 tokens.
  ///   - documents: where documents begin in every row; nil does not tell them apart.
  init(_ sequences: [[Int32]], documents: [Int]? = nil) {
    batch = sequences.count
    length = sequences[0].count - 1
    inputs = .allocate(capacity: batch * length)
    targets = .allocate(capacity: batch * length)
    weights = .allocate(capacity: batch * length)
    history =
      documents == nil ? nil : .allocate(capacity: sequences.count * (sequences[0].count - 1))
    for (b, sequence) in sequences.enumerated() {
      for t in 0..<length {
        inputs[b * length + t] = sequence[t]
        targets[b * length + t] = sequence[t + 1]
        weights[b * length + t] = 1
        history?[b * length + t] = Int32(t - (documents?.last { $0 <= t } ?? 0))
      }
    }
  }

  deinit {
    inputs.deallocate()
    targets.deallocate()
    weights.deallocate()
    history?.deallocate()
  }

  /// Valid while the batch lives: hand the batch itself to `gradient(of:)` and `loss(of:)`.
  fileprivate var samples: SequenceSamples {
    SequenceSamples(
      inputs: inputs, targets: targets, weights: weights, history: history.map { UnsafePointer($0) }
    )
  }
  var inputTokens: [Int32] { (0..<(batch * length)).map { inputs[$0] } }
  var targetTokens: [Int32] { (0..<(batch * length)).map { targets[$0] } }
}

extension SequencePass {
  /// `gradient(of:)` of a batch that lives until it is done.
  func gradient(
    of batch: NextTokenBatch, scale: Float, parameters: Floats,
    accumulatingInto gradients: Floats, stateInPlace state: Floats? = nil
  ) throws -> Double {
    try withExtendedLifetime(batch) {
      try gradient(
        of: batch.samples, scale: scale, parameters: parameters, accumulatingInto: gradients,
        stateInPlace: state)
    }
  }

  /// `loss(of:)` of a batch that lives until it is done.
  func loss(
    of batch: NextTokenBatch, parameters: Floats,
    visit: (Int, Int, UnsafePointer<Float>) -> Void = { _, _, _ in }
  ) -> Double {
    withExtendedLifetime(batch) {
      loss(of: batch.samples, parameters: parameters, visit: visit)
    }
  }
}
