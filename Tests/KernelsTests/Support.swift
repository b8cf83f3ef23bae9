import Kernels
import TensorStorage
import Testing

/// Random numbers for tests, one stream a name.
func normals(_ count: Int, _ name: String, deviation: Double = 1) -> [Float] {
  var random = CounterRandom(seed: 7, purpose: name)
  return (0..<count).map { _ in Float(deviation * random.normal()) }
}

/// A buffer of `count` NaNs with guard values behind them: kernels must write all of it and no more.
final class Guarded {
  private static let guardCount = 64
  private static let guardValue: Float = 12345.5
  let buffer: FloatBuffer
  let count: Int

  init(_ count: Int) {
    self.count = count
    buffer = FloatBuffer(count: count + Self.guardCount)
    for i in 0..<count { buffer.pointer[i] = .nan }
    for i in count..<(count + Self.guardCount) { buffer.pointer[i] = Self.guardValue }
  }

  convenience init(_ values: [Float]) {
    self.init(values.count)
    for (i, value) in values.enumerated() { buffer.pointer[i] = value }
  }

  var pointer: UnsafeMutablePointer<Float> { buffer.pointer }
  /// The memory as a plan.
  var plan: MemoryPlan { MemoryPlan(pointer, capacity: (count + 15) / 16 * 16) }
  var values: [Float] { Array(buffer.elements[0..<count]) }

  /// Whether nothing was written behind the end.
  var isIntact: Bool {
    (count..<(count + Self.guardCount)).allSatisfy { buffer.pointer[$0] == Self.guardValue }
  }
}

/// The largest absolute difference over the largest absolute reference; NaN when any value is.
func relativeError(_ x: [Float], _ reference: [Double]) -> Double {
  precondition(x.count == reference.count)
  let largest = reference.reduce(0) { max($0, abs($1)) }
  var worst = 0.0
  for (a, b) in zip(x, reference) {
    let error = abs(Double(a) - b)
    if !(error <= worst) { worst = error }
  }
  return worst / max(largest, 1e-30)
}

/// Row-major `[rows, columns]`, or the same matrix stored transposed.
func stored(_ x: [Float], _ rows: Int, _ columns: Int, transposed: Bool) -> [Float] {
  guard transposed else { return x }
  var result = x
  for r in 0..<rows {
    for c in 0..<columns { result[c * rows + r] = x[r * columns + c] }
  }
  return result
}

/// The product of `[M, K]` and `[K, N]` in `Double`; `shape` is `[M, K, N]`.
func naiveProduct(_ a: [Double], _ b: [Double], _ shape: [Int]) -> [Double] {
  let (m, k, n) = (shape[0], shape[1], shape[2])
  var result = [Double](repeating: 0, count: m * n)
  for r in 0..<m {
    for i in 0..<k {
      for c in 0..<n { result[r * n + c] += a[r * k + i] * b[i * n + c] }
    }
  }
  return result
}

extension Array where Element == Float {
  var doubles: [Double] { map(Double.init) }
}

/// Compares a gradient with central differences of a loss in `Double`, along random directions of
/// +-1 in every element: an element that is wrong shows in every direction.
func expectGradient(
  _ name: String, _ gradient: [Float], at x: [Double], tolerance: Double = 1e-5,
  sourceLocation: SourceLocation = #_sourceLocation, loss: ([Double]) -> Double
) {
  #expect(gradient.count == x.count, "\(name)", sourceLocation: sourceLocation)
  #expect(gradient.allSatisfy { $0.isFinite }, "\(name)", sourceLocation: sourceLocation)
  let size = gradient.reduce(0) { $0 + Double($1) * Double($1) }.squareRoot()
  var random = CounterRandom(seed: 11, purpose: name)
  for _ in 0..<4 {
    let direction = x.map { _ in random.uniform() < 0.5 ? 1.0 : -1.0 }
    let h = 1e-5
    let up = loss(zip(x, direction).map { $0 + h * $1 })
    let down = loss(zip(x, direction).map { $0 - h * $1 })
    let expected = (up - down) / (2 * h)
    let actual = zip(gradient, direction).reduce(0) { $0 + Double($1.0) * $1.1 }
    #expect(
      abs(actual - expected) <= tolerance * size + 1e-9, "\(name): \(actual), not \(expected)",
      sourceLocation: sourceLocation)
  }
}

/// `sum_i a[i] b[i]`.
func inner(_ a: [Double], _ b: [Double]) -> Double { zip(a, b).reduce(0) { $0 + $1.0 * $1.1 } }

/// Runs a kernel on one, two and three threads, expects the same bits, and returns them.
func onAnyThreads(
  sourceLocation: SourceLocation = #_sourceLocation, _ kernel: () -> [[Float]]
) -> [[Float]] {
  configureBLAS()
  defer { ThreadPool.configure(threadCount: 1) }
  let first = kernel()
  for threads in 2...3 {
    ThreadPool.configure(threadCount: threads, spins: 0)
    let again = kernel()
    let equal = zip(first, again).allSatisfy { a, b in
      a.map(\.bitPattern) == b.map(\.bitPattern)
    }
    #expect(equal, "\(threads) threads give other bits", sourceLocation: sourceLocation)
  }
  return first
}

/// Expects that nothing was written behind the end of any buffer.
func expectIntact(_ buffers: Guarded?..., sourceLocation: SourceLocation = #_sourceLocation) {
  for (index, buffer) in buffers.enumerated() {
    #expect(buffer?.isIntact ?? true, "buffer \(index)", sourceLocation: sourceLocation)
  }
}

/// Sizes around those of vectors and tiles.
let oddSizes = [1, 63, 65, 100]
