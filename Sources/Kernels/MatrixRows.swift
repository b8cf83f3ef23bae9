// Elementwise work on blocks of matrices, on the calling thread. The matrices are not transposed.

/// Multiplies row r by `factor[r]`.
@inline(__always)
func scaleRows(_ x: Matrix, by factor: Floats) {
  for r in 0..<x.rows {
    let row = x.row(r)
    let f = factor[r]
    for c in 0..<x.columns { row[c] *= f }
  }
}

/// Multiplies column c by `factor[c]`.
@inline(__always)
func scaleColumns(_ x: Matrix, by factor: Floats) {
  for r in 0..<x.rows {
    let row = x.row(r)
    for c in 0..<x.columns { row[c] *= factor[c] }
  }
}

/// Copies `source` into `target`, which has its shape.
@inline(__always)
func copyRows(_ source: Matrix, into target: Matrix) {
  for r in 0..<source.rows { target.row(r).update(from: source.row(r), count: source.columns) }
}

/// `target += diag(factor) source`; the shapes are the same.
@inline(__always)
func addScaledRows(_ source: Matrix, by factor: Floats, into target: Matrix) {
  for r in 0..<source.rows {
    let (from, to) = (source.row(r), target.row(r))
    let f = factor[r]
    for c in 0..<source.columns { to[c] += f * from[c] }
  }
}

/// `target += source diag(factor)`; the shapes are the same.
@inline(__always)
func addScaledColumns(_ source: Matrix, by factor: Floats, into target: Matrix) {
  for r in 0..<source.rows {
    let (from, to) = (source.row(r), target.row(r))
    for c in 0..<source.columns { to[c] += factor[c] * from[c] }
  }
}

/// Sets every element to zero.
@inline(__always)
func clearRows(_ x: Matrix) {
  for r in 0..<x.rows { x.row(r).update(repeating: 0, count: x.columns) }
}
