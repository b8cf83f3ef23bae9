import Foundation

/// How matrix products are computed; everything else is fp32 always.
public enum ProductPrecision: Sendable, Equatable, CustomStringConvertible {
  /// fp32 operands and sums.
  case fp32
  /// Operands rounded to bf16 (to nearest, ties to even), sums in fp32.
  case bf16(BFloat16BackEnd)

  /// For logs and checkpoints, for example `bf16 products (oneDNN 2.6.3)`.
  public var description: String {
    switch self {
    case .fp32: "fp32"
    case .bf16(let backEnd): "bf16 products (\(backEnd))"
    }
  }
}

/// What multiplies bf16 numbers.
///
/// All back ends multiply the same rounded numbers, whose products are exact in fp32; they differ in the
/// order of the sums only.
public enum BFloat16BackEnd: Sendable, CaseIterable, CustomStringConvertible {
  /// oneDNN on bf16 operands: for processors with bf16 instructions.
  case oneDNN
  /// OpenBLAS on fp32 operands that hold bf16 values: right everywhere, slower than fp32.
  case portable
  /// oneDNN on fp32 operands that hold bf16 values: the code path of `oneDNN` on any processor, for
  /// tests.
  case oneDNNWidened

  /// The one for this processor.
  public static var best: BFloat16BackEnd { isAccelerated ? .oneDNN : .portable }

  /// Whether this processor multiplies bf16 numbers faster than fp32 ones, and oneDNN can use it.
  public static let isAccelerated: Bool = {
    let information = (try? String(contentsOfFile: "/proc/cpuinfo", encoding: .utf8)) ?? ""
    return hasInstructions(information) && OneDNNProducts.supportsBFloat16()
  }()

  /// Whether the first processor of `/proc/cpuinfo` has bf16 instructions.
  public static func hasInstructions(_ information: String) -> Bool {
    let flags = information.split(separator: "\n").first { $0.hasPrefix("flags") } ?? ""
    return flags.split(separator: " ").contains { $0 == "avx512_bf16" || $0 == "amx_bf16" }
  }

  /// Bytes of an operand's element.
  public var elementBytes: Int { self == .oneDNN ? 2 : 4 }

  /// For logs and checkpoints.
  public var description: String {
    switch self {
    case .oneDNN: "oneDNN \(OneDNNProducts.version)"
    case .portable: "portable"
    case .oneDNNWidened: "oneDNN \(OneDNNProducts.version), fp32 operands"
    }
  }
}
