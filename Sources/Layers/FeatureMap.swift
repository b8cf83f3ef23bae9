import Foundation
import Kernels
import ReferenceKernels

extension GLAConfiguration.FeatureMap {
  /// The kernel's name of the function.
  var function: ElementwiseFunction {
    switch self {
    case .relu: .relu
    case .sigmoid: .sigmoid
    case .swish, .silu: .silu
    case .logsigmoid: .logSigmoid
    case .sqrelu: .squaredReLU
    case .gelu: .tanhGELU
    }
  }
}

extension ElementwiseFunction {
  /// The function in `Double`.
  func reference(_ x: Double) -> Double {
    switch self {
    case .relu: max(x, 0)
    case .sigmoid: ReferenceKernels.sigmoid(x)
    case .silu: ReferenceKernels.silu(x)
    case .logSigmoid: ReferenceKernels.logSigmoid(x)
    case .squaredReLU: max(x, 0) * max(x, 0)
    case .tanhGELU: 0.5 * x * (1 + tanh(0.79788456 * x * (1 + 0.044715 * x * x)))
    }
  }
}
