// Elementwise functions and their derivatives. All are one pass over memory, in blocks of a fixed size.

/// Calls `body(job, range)` for blocks of 8,192 elements of `0..<count`, on all threads.
@inline(__always)
func forElementBlocks<Job>(
  _ count: Int, _ job: Job, _ body: @escaping (Job, Range<Int>) -> Void
) {
  let block = 8192
  parallelFor((count + block - 1) / block, (job, count, body)) { frame, index in
    let (job, count, body) = frame
    body(job, (index * 8192)..<min((index + 1) * 8192, count))
  }
}

/// `y = silu(gate) * up` (Shazeer, 2020).
public func swiGLUForward(gate: Floats, up: Floats, into y: Floats, count: Int) {
  forElementBlocks(count, (gate, up, y)) { job, range in
    let (gate, up, y) = job
    for i in range { y[i] = fastSiLU(gate[i]) * up[i] }
  }
}

/// Gradients of `swiGLUForward`, each written over its own input.
///
/// - Parameters:
///   - dy: gradient of `silu(gate) * up`.
///   - gate: the pre-activation in, its gradient out.
///   - up: the other factor in, its gradient out.
///   - count: elements of each.
public func swiGLUBackward(
  _ dy: Floats, gateInPlace gate: Floats, upInPlace up: Floats, count: Int
) {
  forElementBlocks(count, (dy, gate, up)) { job, range in
    let (dy, gate, up) = job
    for i in range {
      let z = gate[i]
      let s = fastSigmoid(z)
      let silu = z * s
      let d = dy[i]
      gate[i] = d * up[i] * s * (1 + z - silu)
      up[i] = d * silu
    }
  }
}

/// The log forget gates of GLA: `g = max(logsigmoid(z + bias) / normalizer, minimum)`, and
/// `DocumentHistory.gate` in the first row of a document.
///
/// - Parameters:
///   - z: `[rows, width]`.
///   - bias: `[width]`.
///   - g: `[rows, width]`, overwritten; may be `z`.
///   - rows: number of rows.
///   - width: numbers in a row.
///   - normalizer: 16 in every published model.
///   - minimum: lower bound, `-.infinity` for none.
///   - history: where documents begin.
public func logGateForward(
  _ z: Floats, bias: Floats, into g: Floats, rows: Int, width: Int,
  normalizer: Float, minimum: Float, history: DocumentHistory = .none
) {
  let tiles = RowTiles(rows)
  let job = (z, bias, g, tiles, width, 1 / normalizer, minimum, history)
  parallelFor(tiles.count, job) { job, tile in
    let (z, bias, g, tiles, width, scale, minimum, history) = job
    for row in tiles[tile] {
      let z = z + row * width
      let g = g + row * width
      if history.begins(at: row) {
        g.update(repeating: DocumentHistory.gate, count: width)
        continue
      }
      for j in 0..<width {
        let value = fastLogSigmoid(z[j] + bias[j]) * scale
        g[j] = value < minimum ? minimum : value
      }
    }
  }
}

/// Multiplies `dg` by `d g / d z = sigmoid(-(z + bias)) / normalizer`, zero where the bound holds.
///
/// As in PyTorch's `clamp_min`, a gate exactly at the bound passes its gradient. The first row of a
/// document has no gate and gets 0.
public func logGateBackward(
  _ z: Floats, bias: Floats, inPlace dg: Floats, rows: Int, width: Int,
  normalizer: Float, minimum: Float, history: DocumentHistory = .none
) {
  let tiles = RowTiles(rows)
  let job = (z, bias, dg, tiles, width, 1 / normalizer, minimum, history)
  parallelFor(tiles.count, job) { job, tile in
    let (z, bias, dg, tiles, width, scale, minimum, history) = job
    for row in tiles[tile] {
      let z = z + row * width
      let dg = dg + row * width
      if history.begins(at: row) {
        dg.update(repeating: 0, count: width)
        continue
      }
      for j in 0..<width {
        let x = z[j] + bias[j]
        let derivative = fastSigmoid(-x) * scale
        dg[j] = fastLogSigmoid(x) * scale < minimum ? 0 : dg[j] * derivative
      }
    }
  }
}

/// An elementwise function on queries and keys: fla's `ACT2FN`.
public enum ElementwiseFunction: Sendable, CaseIterable {
  /// `max(x, 0)`.
  case relu
  /// `1 / (1 + exp(-x))`.
  case sigmoid
  /// `log(sigmoid(x))`.
  case logSigmoid
  /// `x sigmoid(x)`.
  case silu
  /// `max(x, 0)^2`.
  case squaredReLU
  /// `x (1 + tanh(u)) / 2 = x sigmoid(2 u)` with `u = 0.79788456 x (1 + 0.044715 x^2)`.
  case tanhGELU

  // Called on constants: the loop is compiled, and vectorized, for each function.

  @inline(__always)
  fileprivate func apply(_ x: Floats, into y: Floats, _ range: Range<Int>) {
    for i in range { y[i] = value(x[i]) }
  }

  @inline(__always)
  fileprivate func applyDerivative(_ x: Floats, inPlace dy: Floats, _ range: Range<Int>) {
    for i in range { dy[i] *= derivative(x[i]) }
  }

  @inline(__always)
  fileprivate func value(_ x: Float) -> Float {
    switch self {
    case .relu: x > 0 ? x : 0
    case .sigmoid: fastSigmoid(x)
    case .logSigmoid: fastLogSigmoid(x)
    case .silu: fastSiLU(x)
    case .squaredReLU: x > 0 ? x * x : 0
    case .tanhGELU: x * fastSigmoid(1.59576912 * x * (1 + 0.044715 * x * x))
    }
  }

  @inline(__always)
  fileprivate func derivative(_ x: Float) -> Float {
    switch self {
    case .relu: return x > 0 ? 1 : 0
    case .sigmoid:
      let s = fastSigmoid(x)
      return s * (1 - s)
    case .logSigmoid: return fastSigmoid(-x)
    case .silu: return fastSiLUDerivative(x)
    case .squaredReLU: return x > 0 ? 2 * x : 0
    case .tanhGELU:
      let s = fastSigmoid(1.59576912 * x * (1 + 0.044715 * x * x))
      return s * (1 + x * (1 - s) * (1.59576912 + 0.2140644 * x * x))
    }
  }
}

/// `y = f(x)`; `y` may be `x`.
public func elementwiseForward(
  _ function: ElementwiseFunction, _ x: Floats, into y: Floats, count: Int
) {
  forElementBlocks(count, (function, x, y)) { job, range in
    let (function, x, y) = job
    switch function {
    case .relu: ElementwiseFunction.relu.apply(x, into: y, range)
    case .sigmoid: ElementwiseFunction.sigmoid.apply(x, into: y, range)
    case .logSigmoid: ElementwiseFunction.logSigmoid.apply(x, into: y, range)
    case .silu: ElementwiseFunction.silu.apply(x, into: y, range)
    case .squaredReLU: ElementwiseFunction.squaredReLU.apply(x, into: y, range)
    case .tanhGELU: ElementwiseFunction.tanhGELU.apply(x, into: y, range)
    }
  }
}

/// `dy *= f'(x)`.
public func elementwiseBackward(
  _ function: ElementwiseFunction, _ x: Floats, inPlace dy: Floats, count: Int
) {
  forElementBlocks(count, (function, x, dy)) { job, range in
    let (function, x, dy) = job
    switch function {
    case .relu: ElementwiseFunction.relu.applyDerivative(x, inPlace: dy, range)
    case .sigmoid: ElementwiseFunction.sigmoid.applyDerivative(x, inPlace: dy, range)
    case .logSigmoid: ElementwiseFunction.logSigmoid.applyDerivative(x, inPlace: dy, range)
    case .silu: ElementwiseFunction.silu.applyDerivative(x, inPlace: dy, range)
    case .squaredReLU: ElementwiseFunction.squaredReLU.applyDerivative(x, inPlace: dy, range)
    case .tanhGELU: ElementwiseFunction.tanhGELU.applyDerivative(x, inPlace: dy, range)
    }
  }
}
