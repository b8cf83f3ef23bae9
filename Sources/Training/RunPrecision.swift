import Foundation
import Kernels
import LanguageModels
import Layers
import TensorStorage

/// The precision of a run's matrix products, and why.
public struct RunPrecision: Sendable, Equatable {
  /// How products are computed, the same on all ranks.
  public let products: ProductPrecision
  /// What the user should know about the choice.
  public let note: RunNote?

  /// Chooses for ranks on these machines.
  ///
  /// - Parameters:
  ///   - asked: the recipe's `train.precision`.
  ///   - slowHosts: machines without bf16 instructions, each once: the weakest decides.
  public init(_ asked: Recipe.Train.Precision, slowHosts: [String]) {
    let missing =
      "no bf16 instructions (avx512_bf16 or amx_bf16) on \(slowHosts.joined(separator: ", "))"
    switch asked {
    case .fp32:
      (products, note) = (.fp32, nil)
    case .auto where slowHosts.isEmpty:
      (products, note) = (.bf16(.oneDNN), .information("train.precision: auto selects bf16 here"))
    case .auto:
      (products, note) = (
        .fp32, .information("train.precision: auto selects fp32 here: \(missing)")
      )
    case .bf16 where slowHosts.isEmpty:
      (products, note) = (.bf16(.oneDNN), nil)
    case .bf16:
      products = .bf16(.portable)
      note = .warning(
        "train.precision: bf16 is emulated here, and slower than fp32: \(missing)")
    }
  }

  /// Chooses for this process alone.
  public init(_ asked: Recipe.Train.Precision) {
    self.init(
      asked, slowHosts: BFloat16BackEnd.isAccelerated ? [] : [ProcessInfo.processInfo.hostName])
  }

  /// Chooses for all ranks.
  ///
  /// - Throws: `CollectiveError`.
  public init(_ asked: Recipe.Train.Precision, ranks: Ranks) throws {
    let mine = BFloat16BackEnd.isAccelerated ? "" : ProcessInfo.processInfo.hostName
    let hosts = try ranks.communicator.gather(Array(mine.utf8)).map {
      String(decoding: $0, as: UTF8.self)
    }
    self.init(asked, slowHosts: Set(hosts.filter { !$0.isEmpty }).sorted())
  }
}

extension Recipe {
  /// Elements of the largest operand of a product of a training pass that is not a weight.
  func largestOperandCount(_ model: LanguageModel) -> Int {
    let length = min(train.segmentLength, data.sequenceLength)
    return model.largestOperandCount(SegmentDims(batch: train.microBatch, length: length))
  }
}
