import ErrorReporting
import Foundation
import TensorStorage

// The output head and the loss in one: logits exist for one block of tokens at a time.
//
// `R` rows (tokens), `D` hidden width, `V` vocabulary.

/// Sizes of the head, and where its scratch lies.
public struct LinearCrossEntropyDims {
  /// Rows of hidden states, at most.
  public let rows: Int
  /// Hidden width, `D`.
  public let width: Int
  /// Vocabulary, `V`.
  public let vocabulary: Int

  /// Rows whose logits exist at one time.
  public static let blockRows = 512

  /// Describes a head for up to `rows` rows.
  public init(rows: Int, width: Int, vocabulary: Int) {
    self.rows = rows
    self.width = width
    self.vocabulary = vocabulary
  }

  private var block: Int { min(rows, Self.blockRows) }

  /// Floats of scratch: a block of logits, of gathered hidden rows or their gradients, and the list of
  /// rows that count.
  public var scratchCount: Int { block * (vocabulary + width) + rows }

  func areas(_ scratch: Floats) -> (logits: Floats, hidden: Floats) {
    (scratch, scratch + block * vocabulary)
  }

  func rowList(_ scratch: Floats) -> UnsafeMutablePointer<Int32> {
    let start = scratch + block * (vocabulary + width)
    return UnsafeMutableRawPointer(start).assumingMemoryBound(to: Int32.self)
  }
}

/// What the loss is taken against.
public struct CrossEntropyTargets {
  /// Wanted token of each row, `[R]`.
  public var targets: UnsafePointer<Int32>
  /// Weight of each row in the loss, `[R]`; rows of weight 0 cost nothing.
  public var weights: UnsafePointer<Float>
  /// Factor on every gradient, one over the global sum of weights.
  public var scale: Float

  /// Names the arrays.
  public init(targets: UnsafePointer<Int32>, weights: UnsafePointer<Float>, scale: Float) {
    self.targets = targets
    self.weights = weights
    self.scale = scale
  }
}

/// Where gradients of the head go.
public struct LinearCrossEntropyGradients {
  /// `[R, D]`, overwritten; may be the hidden rows themselves.
  public var dhidden: Floats
  /// `[V, D]`, added to; nil for a head that is not trained.
  public var dweight: Floats?

  /// Names the arrays.
  public init(dhidden: Floats, dweight: Floats?) {
    self.dhidden = dhidden
    self.dweight = dweight
  }
}

/// Weighted negative log likelihood of the targets under `softmax(hidden weight^T)`, and gradients.
///
/// - Parameters:
///   - hidden: `[R, D]`.
///   - weight: `[V, D]`.
///   - wanted: targets and weights of the rows.
///   - nll: `[R]`, overwritten: nats of each row, 0 where the weight is 0.
///   - gradients: nil to compute the loss only.
///   - scratch: `dims.scratchCount` floats.
///   - dims: the sizes.
/// - Returns: the sum of `weight * nll` over the rows, in `Double`, rows in order; not scaled.
public func linearCrossEntropy(
  _ hidden: Floats, weight: Floats, against wanted: CrossEntropyTargets, nll: Floats,
  gradients: LinearCrossEntropyGradients?, scratch: Floats, dims: LinearCrossEntropyDims
) -> Double {
  let list = dims.rowList(scratch)
  var counted = 0
  for row in 0..<dims.rows {
    nll[row] = 0
    if wanted.weights[row] != 0 {
      require(
        0..<dims.vocabulary ~= Int(wanted.targets[row]),
        "target \(wanted.targets[row]) of a vocabulary of \(dims.vocabulary)")
      list[counted] = Int32(row)
      counted += 1
    } else if let gradients {
      (gradients.dhidden + row * dims.width).update(repeating: 0, count: dims.width)
    }
  }
  var first = 0
  while first < counted {
    let count = min(LinearCrossEntropyDims.blockRows, counted - first)
    block(
      hidden, weight, wanted, nll, gradients, scratch, dims, rows: list + first, count: count)
    first += count
  }
  var sum = 0.0
  for row in 0..<dims.rows where wanted.weights[row] != 0 {
    sum += Double(wanted.weights[row]) * Double(nll[row])
  }
  return sum
}

/// The listed hidden rows, one after the other, in the head's scratch: `[count, D]`.
func gatherRows(
  _ hidden: Floats, scratch: Floats, dims: LinearCrossEntropyDims,
  rows: UnsafeMutablePointer<Int32>, count: Int
) -> Matrix {
  let gathered = dims.areas(scratch).hidden
  parallelFor(count, (hidden, gathered, rows, dims.width)) { job, i in
    let (hidden, gathered, rows, width) = job
    (gathered + i * width).update(from: hidden + Int(rows[i]) * width, count: width)
  }
  return Matrix(gathered, count, dims.width)
}

/// The logits `[count, V]` of gathered rows, in the head's scratch.
func blockLogits(
  _ x: Matrix, weight: Floats, scratch: Floats, dims: LinearCrossEntropyDims
) -> Matrix {
  let logits = Matrix(dims.areas(scratch).logits, x.rows, dims.vocabulary)
  matrixProduct(x, Matrix(weight, dims.vocabulary, dims.width).transposed, into: logits)
  return logits
}

private func block(
  _ hidden: Floats, _ weight: Floats, _ wanted: CrossEntropyTargets, _ nll: Floats,
  _ gradients: LinearCrossEntropyGradients?, _ scratch: Floats, _ dims: LinearCrossEntropyDims,
  rows: UnsafeMutablePointer<Int32>, count: Int
) {
  let gathered = gatherRows(hidden, scratch: scratch, dims: dims, rows: rows, count: count)
  let (width, vocabulary) = (dims.width, dims.vocabulary)
  let l = withSharedOperand(gathered) { x in
    let l = blockLogits(x, weight: weight, scratch: scratch, dims: dims)
    let wantsGradient = gradients != nil
    parallelFor(count, (l, rows, wanted, nll, wantsGradient)) { job, i in
      let (l, rows, wanted, nll, wantsGradient) = job
      let row = Int(rows[i])
      nll[row] = softmaxRow(
        l.row(i), count: l.columns, target: Int(wanted.targets[row]),
        gradientScale: wantsGradient ? wanted.weights[row] * wanted.scale : nil)
    }
    if let dweight = gradients?.dweight {
      matrixProduct(l.transposed, x, accumulatingInto: Matrix(dweight, vocabulary, width))
    }
    return l
  }
  guard let gradients else { return }
  // The gradients take the place of the gathered rows.
  matrixProduct(l, Matrix(weight, vocabulary, width), into: gathered)
  parallelFor(count, (gradients.dhidden, gathered.pointer, rows, width)) { job, i in
    let (dhidden, dgathered, rows, width) = job
    (dhidden + Int(rows[i]) * width).update(from: dgathered + i * width, count: width)
  }
}

/// Turns a row of logits into `gradientScale (softmax - onehot)`, if asked, and returns its nll.
@inline(__always)
private func softmaxRow(_ logits: Floats, count: Int, target: Int, gradientScale: Float?) -> Float {
  let largest = maximum(logits, count)
  let wantedLogit = logits[target]
  for i in 0..<count { logits[i] = fastExp(logits[i] - largest) }
  let sum = total(logits, count)
  if let gradientScale {
    let factor = gradientScale / sum
    for i in 0..<count { logits[i] *= factor }
    logits[target] -= gradientScale
  }
  return Float(log(Double(sum))) - (wantedLogit - largest)
}

/// The largest of `count` floats; NaN if any is NaN.
@inline(__always)
func maximum(_ x: UnsafePointer<Float>, _ count: Int) -> Float {
  let raw = UnsafeRawPointer(x)
  var best = SIMD16<Float>(repeating: -.infinity)
  var i = 0
  while i &+ 16 <= count {
    let v = raw.loadUnaligned(fromByteOffset: i &* 4, as: SIMD16<Float>.self)
    // A lane that holds NaN keeps it.
    best.replace(with: v, where: .!(best .>= v) .& (best .== best))
    i &+= 16
  }
  var result = -Float.infinity
  for lane in 0..<16 where !(result >= best[lane]) && result == result { result = best[lane] }
  while i < count {
    if !(result >= x[i]) && result == result { result = x[i] }
    i &+= 1
  }
  return result
}

/// The sum of `count` floats in a fixed order.
@inline(__always)
func total(_ x: Floats, _ count: Int) -> Float {
  let raw = UnsafeRawPointer(x)
  var s0 = SIMD16<Float>()
  var s1 = SIMD16<Float>()
  var i = 0
  while i &+ 32 <= count {
    s0 += raw.loadUnaligned(fromByteOffset: i &* 4, as: SIMD16<Float>.self)
    s1 += raw.loadUnaligned(fromByteOffset: (i &+ 16) &* 4, as: SIMD16<Float>.self)
    i &+= 32
  }
  var tail: Float = 0
  while i < count {
    tail += x[i]
    i &+= 1
  }
  return (s0 + s1).sum() + tail
}
