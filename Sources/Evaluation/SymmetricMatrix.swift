import Foundation

/// A symmetric matrix in Double, for its eigenvalues and their vectors.
struct SymmetricMatrix {
  let size: Int
  /// Row by row, all of it.
  private(set) var elements: [Double]

  /// `S S^T` or `S^T S`, whichever is smaller.
  init(gramOf matrix: UnsafePointer<Float>, rows: Int, columns: Int) {
    let (count, length) = (min(rows, columns), max(rows, columns))
    let isWide = rows <= columns
    // Each vector contiguous, so that products run along memory.
    let vectors = (0..<count).map { i in
      (0..<length).map { Double(matrix[isWide ? i * columns + $0 : $0 * columns + i]) }
    }
    size = count
    elements = [Double](repeating: 0, count: count * count)
    for i in 0..<count {
      for j in 0...i {
        let product = zip(vectors[i], vectors[j]).reduce(0) { $0 + $1.0 * $1.1 }
        elements[i * count + j] = product
        elements[j * count + i] = product
      }
    }
  }

  /// Sum of the diagonal.
  var trace: Double { (0..<size).reduce(0) { $0 + elements[$1 * size + $1] } }

  /// All eigenvalues, in no order: Householder reflections to a tridiagonal matrix, then implicit QL.
  func eigenvalues() -> [Double] {
    var copy = self
    var (diagonal, offDiagonal, _) = copy.tridiagonalize()
    var none: [[Double]] = []
    Self.iterateQL(&diagonal, &offDiagonal, &none)
    return diagonal
  }

  /// All eigenvalues, in no order, each with its vector of length 1.
  func eigenvectors() -> (values: [Double], vectors: [[Double]]) {
    var copy = self
    var (diagonal, offDiagonal, taus) = copy.tridiagonalize()
    var vectors = copy.reflected(taus)
    Self.iterateQL(&diagonal, &offDiagonal, &vectors)
    return (diagonal, vectors)
  }

  /// Reflects from the last row up.
  ///
  /// Row `i` of `elements` then begins with the `v` of its reflection; the rest is used up.
  ///
  /// - Returns: the diagonal, `offDiagonal[i]` between `i` and `i + 1`, and each row's `tau`.
  private mutating func tridiagonalize() -> ([Double], [Double], taus: [Double]) {
    let n = size
    var offDiagonal = [Double](repeating: 0, count: n)
    var taus = [Double](repeating: 0, count: n)
    elements.withUnsafeMutableBufferPointer { a in
      var product = [Double](repeating: 0, count: n)
      for i in stride(from: n - 1, to: 0, by: -1) {
        // The row's first i elements become (0, ..., 0, beta) by I - tau v v^T.
        let row = i * n
        let norm = (0..<i).reduce(0) { $0 + a[row + $1] * a[row + $1] }.squareRoot()
        let last = a[row + i - 1]
        let beta = last > 0 ? -norm : norm
        offDiagonal[i - 1] = beta
        guard norm > 0, norm != abs(last) else {
          offDiagonal[i - 1] = last
          continue
        }
        a[row + i - 1] = last - beta
        let tau = -1 / (beta * (last - beta))
        taus[i] = tau
        // A <- A - v w^T - w v^T with w = tau A v - (tau^2 / 2) (v^T A v) v.
        for j in 0..<i {
          var sum = 0.0
          for k in 0..<i { sum += a[j * n + k] * a[row + k] }
          product[j] = tau * sum
        }
        let half = (0..<i).reduce(0) { $0 + product[$1] * a[row + $1] } * tau / 2
        for j in 0..<i { product[j] -= half * a[row + j] }
        for j in 0..<i {
          let (vj, wj) = (a[row + j], product[j])
          for k in 0..<i { a[j * n + k] -= vj * product[k] + wj * a[row + k] }
        }
      }
    }
    return ((0..<n).map { elements[$0 * n + $0] }, offDiagonal, taus)
  }

  /// The columns of the product of all reflections of `tridiagonalize`.
  private func reflected(_ taus: [Double]) -> [[Double]] {
    (0..<size).map { column in
      var vector = [Double](repeating: 0, count: size)
      vector[column] = 1
      for i in 1..<max(size, 1) where taus[i] != 0 {
        let dot = taus[i] * (0..<i).reduce(0) { $0 + elements[i * size + $1] * vector[$1] }
        for k in 0..<i { vector[k] -= dot * elements[i * size + k] }
      }
      return vector
    }
  }

  /// Makes a tridiagonal matrix diagonal by rotations, with implicit shifts; vectors, if there are any, turn along.
  private static func iterateQL(
    _ d: inout [Double], _ e: inout [Double], _ vectors: inout [[Double]]
  ) {
    for first in d.indices {
      while true {
        var last = first
        while last < d.count - 1, abs(e[last]) > 0x1p-52 * (abs(d[last]) + abs(d[last + 1])) {
          last += 1
        }
        if last == first { break }
        rotate(&d, &e, &vectors, first, last)
      }
    }
  }

  /// One sweep over `first ... last`.
  private static func rotate(
    _ d: inout [Double], _ e: inout [Double], _ vectors: inout [[Double]], _ first: Int, _ last: Int
  ) {
    let gap = (d[first + 1] - d[first]) / (2 * e[first])
    let root = hypot(gap, 1)
    var g = d[last] - d[first] + e[first] / (gap + (gap < 0 ? -root : root))
    var (sine, cosine, shift) = (1.0, 1.0, 0.0)
    for i in stride(from: last - 1, through: first, by: -1) {
      let (f, b) = (sine * e[i], cosine * e[i])
      let radius = hypot(f, g)
      e[i + 1] = radius
      guard radius > 0 else {
        // The matrix falls apart here.
        d[i + 1] -= shift
        e[last] = 0
        return
      }
      (sine, cosine) = (f / radius, g / radius)
      g = d[i + 1] - shift
      let mixed = (d[i] - g) * sine + 2 * cosine * b
      shift = sine * mixed
      d[i + 1] = g + shift
      g = cosine * mixed - b
      for k in vectors.isEmpty ? 0..<0 : d.indices {
        let (low, high) = (vectors[i][k], vectors[i + 1][k])
        vectors[i + 1][k] = sine * low + cosine * high
        vectors[i][k] = cosine * low - sine * high
      }
    }
    d[first] -= shift
    e[first] = g
    e[last] = 0
  }
}
