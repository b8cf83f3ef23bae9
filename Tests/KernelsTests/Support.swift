import Kernels
import TensorStorage

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

extension Array where Element == Float {
  var doubles: [Double] { map(Double.init) }
}
