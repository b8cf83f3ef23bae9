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

extension StateSpectrum {
  /// Replaces a matrix by the nearest one of at most `rank` (Eckart and Young): what its weakest singular directions
  /// hold is taken away.
  ///
  /// - Parameters:
  ///   - matrix: row by row; what has a number that is not finite stays as it is.
  ///   - rows: of the matrix.
  ///   - columns: of the matrix.
  ///   - rank: how many directions stay.
  public static func limit(
    _ matrix: UnsafeMutablePointer<Float>, rows: Int, columns: Int, toRank rank: Int
  ) {
    let gram = SymmetricMatrix(gramOf: matrix, rows: rows, columns: columns)
    guard rank < gram.size, gram.trace > 0, gram.trace.isFinite else { return }
    let (values, vectors) = gram.eigenvectors()
    let weakest = values.indices.sorted { values[$0] < values[$1] }.prefix(gram.size - rank)
    let isWide = rows <= columns
    let (side, other) = isWide ? (columns, 1) : (1, columns)
    for lane in 0..<max(rows, columns) {
      // A column of a wide matrix, or a row: along the directions of the Gram matrix.
      let start = matrix + lane * other
      for index in weakest {
        let direction = vectors[index]
        let part = direction.indices.reduce(0) {
          $0 + direction[$1] * Double(start[$1 * side])
        }
        for place in direction.indices {
          start[place * side] = Float(Double(start[place * side]) - part * direction[place])
        }
      }
    }
  }
}
