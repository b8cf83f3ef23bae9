import ErrorReporting
import TensorStorage

// A token after a token is a product of one row with every weight, bound by reading the weights: half the
// bytes is half the time.
//
//   y[j] = sum_k x[k] w[j, k],   w in bf16, x, sums and y in fp32

/// A copy of all weights in bf16, which products of one row read.
///
/// While `run` runs, every `matrixProduct` of one row with a transposed matrix of the parameters reads the
/// copy; everything else reads the parameters. Only weights are rounded, so a model whose weights are
/// bf16 numbers gives the same logits, up to the order of sums.
public final class BFloat16Weights {
  /// The copy in use; nil: none.
  private(set) nonisolated(unsafe) static var current: BFloat16Weights?

  private let parameters: FloatBuffer
  private let mirror: BFloat16Buffer
  /// The elements of even index of the row, then those of odd index.
  private var halves = FloatBuffer(count: 0)

  /// Rounds all weights.
  ///
  /// - Parameter parameters: the arena of weights, which must not change afterwards.
  public init(_ parameters: FloatBuffer) {
    self.parameters = parameters
    mirror = BFloat16Buffer(count: parameters.count)
    let size = 1 << 16
    let job = (parameters.pointer, mirror.pointer, parameters.count, size)
    parallelFor((parameters.count + size - 1) / size, job) { job, tile in
      let (from, to, count, size) = job
      for i in (tile * size)..<min((tile + 1) * size, count) { to[i] = BFloat16(from[i]) }
    }
  }

  /// Runs `body` with the copy in use, and returns what it returns.
  public func run<Result>(_ body: () throws -> Result) rethrows -> Result {
    require(Self.current == nil, "bf16 weights are in use already")
    Self.current = self
    defer { Self.current = nil }
    return try body()
  }

  /// Outputs of one task.
  private static let tile = 64

  /// `c = a b`, or `c += a b`, if `a` is one row and `b` a transposed matrix of the parameters.
  ///
  /// Every output is a sum in an order that depends on the width only.
  ///
  /// - Returns: whether it was computed.
  func product(_ a: Matrix, _ b: Matrix, _ c: Matrix, accumulate: Bool) -> Bool {
    let offset = b.pointer - parameters.pointer
    guard a.rows == 1, !a.isTransposed, b.isTransposed, offset >= 0, offset < parameters.count
    else { return false }
    let width = a.columns
    if halves.count < width { halves = FloatBuffer(count: width) }
    let (even, odd) = (halves.pointer, halves.pointer + (width + 1) / 2)
    for i in 0..<(width / 2) { (even[i], odd[i]) = (a.pointer[2 * i], a.pointer[2 * i + 1]) }
    if !width.isMultiple(of: 2) { even[width / 2] = a.pointer[width - 1] }
    let job = RowJob(
      even: even, odd: odd, width: width, weights: mirror.pointer + offset, stride: b.stride,
      output: c.pointer, accumulate: accumulate)
    parallelFor((c.columns + Self.tile - 1) / Self.tile, (job, c.columns)) { job, tile in
      let (job, outputs) = job
      var row = tile * Self.tile
      let end = min(row + Self.tile, outputs)
      while row + 4 <= end {
        job.fourOutputs(row)
        row += 4
      }
      while row < end {
        job.output(row)
        row += 1
      }
    }
    return true
  }
}

/// A row times the rows of a bf16 matrix.
private struct RowJob {
  let even: Floats
  let odd: Floats
  let width: Int
  let weights: UnsafeMutablePointer<BFloat16>
  let stride: Int
  let output: Floats
  let accumulate: Bool

  /// Numbers that go through vectors; two bf16 in each 32 bits.
  private var vectorized: Int { width / 32 * 32 }

  /// Two sums of one output: over even and over odd indices.
  private struct Sums {
    var even = SIMD16<Float>()
    var odd = SIMD16<Float>()

    @inline(__always)
    mutating func add(
      _ row: UnsafeRawPointer, _ offset: Int, _ xEven: SIMD16<Float>, _ xOdd: SIMD16<Float>
    ) {
      let pairs = row.loadUnaligned(fromByteOffset: offset, as: SIMD16<UInt32>.self)
      let first = unsafeBitCast(pairs &<< 16, to: SIMD16<Float>.self)
      let second = unsafeBitCast(pairs & 0xFFFF_0000, to: SIMD16<Float>.self)
      even.addProduct(first, xEven)
      odd.addProduct(second, xOdd)
    }

    var total: Float { (even + odd).sum() }
  }

  @inline(__always)
  private func row(_ index: Int) -> UnsafeRawPointer {
    UnsafeRawPointer(weights + index * stride)
  }

  @inline(__always)
  private func input(_ x: Floats, _ i: Int) -> SIMD16<Float> {
    UnsafeRawPointer(x).loadUnaligned(fromByteOffset: 2 * i, as: SIMD16<Float>.self)
  }

  @inline(__always)
  func fourOutputs(_ first: Int) {
    var (s0, s1, s2, s3) = (Sums(), Sums(), Sums(), Sums())
    let (r0, r1, r2, r3) = (row(first), row(first + 1), row(first + 2), row(first + 3))
    var i = 0
    while i < vectorized {
      let (xEven, xOdd) = (input(even, i), input(odd, i))
      s0.add(r0, 2 * i, xEven, xOdd)
      s1.add(r1, 2 * i, xEven, xOdd)
      s2.add(r2, 2 * i, xEven, xOdd)
      s3.add(r3, 2 * i, xEven, xOdd)
      i += 32
    }
    store(s0, first)
    store(s1, first + 1)
    store(s2, first + 2)
    store(s3, first + 3)
  }

  @inline(__always)
  func output(_ index: Int) {
    var sums = Sums()
    let row = row(index)
    var i = 0
    while i < vectorized {
      sums.add(row, 2 * i, input(even, i), input(odd, i))
      i += 32
    }
    store(sums, index)
  }

  /// Adds what does not fill a vector, and writes.
  @inline(__always)
  private func store(_ sums: Sums, _ index: Int) {
    var total = sums.total
    let weights = weights + index * stride
    for i in vectorized..<width {
      let x = i.isMultiple(of: 2) ? even[i / 2] : odd[i / 2]
      total += x * Float(weights[i])
    }
    output[index] = accumulate ? output[index] + total : total
  }
}
