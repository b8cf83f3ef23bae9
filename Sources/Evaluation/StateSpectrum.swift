import Foundation

/// How the energy of a state matrix `S [K, V]` spreads over its singular values `s_i`.
///
/// With `p_i = s_i^2 / sum(s^2)` the effective rank is `exp(-sum(p_i log p_i))`: 1 for a single outer product
/// of key and value, `min(K, V)` for a matrix with equal singular values. (Roy and Vetterli, "The effective
/// rank", 2007, take `s_i` for `s_i^2`; with squares it is a statement about energy, which associations add to.)
///
/// Singular values come from the Gram matrix of the shorter side, in Double: `p_i` has an absolute error of a
/// few 1e-16 times the side.
public struct StateSpectrum: Sendable, Equatable {
  /// `p_i`, in no order.
  public let shares: [Double]
  /// `sum(s^2)`, the squared Frobenius norm.
  public let energy: Double

  /// The spectrum of a matrix, row by row.
  public init(_ matrix: UnsafePointer<Float>, rows: Int, columns: Int) {
    let gram = SymmetricMatrix(gramOf: matrix, rows: rows, columns: columns)
    let trace = gram.trace
    energy = trace
    // Rounding may leave a zero slightly negative.
    shares = trace > 0 ? gram.eigenvalues().map { max($0, 0) / trace } : []
  }

  /// The effective rank; 0 for a matrix of zeros.
  public var effectiveRank: Double {
    guard energy > 0 else { return 0 }
    return exp(shares.reduce(0) { $1 > 0 ? $0 - $1 * log($1) : $0 })
  }
}

/// A symmetric matrix in Double, for its eigenvalues.
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
    var (diagonal, offDiagonal) = copy.tridiagonalize()
    Self.iterateQL(&diagonal, &offDiagonal)
    return diagonal
  }

  /// Reflects from the last row up; leaves `elements` used up.
  ///
  /// - Returns: the diagonal, and below it `offDiagonal[i]` between `i` and `i + 1`.
  private mutating func tridiagonalize() -> ([Double], [Double]) {
    let n = size
    var offDiagonal = [Double](repeating: 0, count: n)
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
    return ((0..<n).map { elements[$0 * n + $0] }, offDiagonal)
  }

  /// Makes a tridiagonal matrix diagonal by rotations, with implicit shifts.
  private static func iterateQL(_ d: inout [Double], _ e: inout [Double]) {
    for first in d.indices {
      while true {
        var last = first
        while last < d.count - 1, abs(e[last]) > 0x1p-52 * (abs(d[last]) + abs(d[last + 1])) {
          last += 1
        }
        if last == first { break }
        rotate(&d, &e, first, last)
      }
    }
  }

  /// One sweep over `first ... last`.
  private static func rotate(_ d: inout [Double], _ e: inout [Double], _ first: Int, _ last: Int) {
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
    }
    d[first] -= shift
    e[first] = g
    e[last] = 0
  }
}
