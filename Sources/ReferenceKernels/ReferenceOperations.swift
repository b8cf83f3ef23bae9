import Foundation

// The operations of a language model on `[Double]`, as their definitions say. Rows are row-major.

/// `y = x weight^T`, `x` `[rows, columns]`, `weight` `[outputs, columns]`.
public func linear(_ x: [Double], _ weight: [Double], columns: Int) -> [Double] {
  let (rows, outputs) = (x.count / columns, weight.count / columns)
  var y = [Double](repeating: 0, count: rows * outputs)
  for r in 0..<rows {
    for o in 0..<outputs {
      var sum = 0.0
      for c in 0..<columns { sum += x[r * columns + c] * weight[o * columns + c] }
      y[r * outputs + o] = sum
    }
  }
  return y
}

/// `x / sqrt(mean(x^2) + epsilon) * weight` over rows as wide as `width`; nil weight is ones.
public func rmsNorm(_ x: [Double], weight: [Double]?, width: Int, epsilon: Double) -> [Double] {
  var y = x
  for r in 0..<(x.count / width) {
    var sum = 0.0
    for c in 0..<width { sum += x[r * width + c] * x[r * width + c] }
    let rstd = 1 / (sum / Double(width) + epsilon).squareRoot()
    for c in 0..<width { y[r * width + c] = x[r * width + c] * rstd * (weight?[c] ?? 1) }
  }
  return y
}

/// `1 / (1 + exp(-x))`.
public func sigmoid(_ x: Double) -> Double {
  x >= 0 ? 1 / (1 + exp(-x)) : exp(x) / (1 + exp(x))
}

/// `x sigmoid(x)`.
public func silu(_ x: Double) -> Double { x * sigmoid(x) }

/// `log(1 + exp(x))`.
public func softplus(_ x: Double) -> Double { -logSigmoid(-x) }

/// `log(sigmoid(x))`.
public func logSigmoid(_ x: Double) -> Double { min(x, 0) - log1p(exp(-abs(x))) }

/// Causal depthwise convolution from an empty past, then SiLU; `x` `[batch, length, channels]`,
/// `weight` `[channels, taps]`, `bias` `[channels]` or nil for none.
public func causalConvolutionSiLU(
  _ x: [Double], weight: [Double], bias: [Double]? = nil, batch: Int, channels: Int
) -> [Double] {
  let (taps, length) = (weight.count / channels, x.count / batch / channels)
  var y = x
  for b in 0..<batch {
    for t in 0..<length {
      for c in 0..<channels {
        var sum = bias?[c] ?? 0
        for j in 0..<taps where t - (taps - 1) + j >= 0 {
          sum += weight[c * taps + j] * x[(b * length + t - (taps - 1) + j) * channels + c]
        }
        y[(b * length + t) * channels + c] = silu(sum)
      }
    }
  }
  return y
}

/// Negative log likelihood of `target` under `softmax(logits)`.
public func crossEntropy(_ logits: ArraySlice<Double>, target: Int) -> Double {
  let largest = logits.max() ?? 0
  let sum = logits.reduce(0) { $0 + exp($1 - largest) }
  return log(sum) + largest - logits[logits.startIndex + target]
}
