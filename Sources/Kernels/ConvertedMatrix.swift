import TensorStorage

/// An operand of a bf16 product: its elements are bf16 numbers, or fp32 ones that hold bf16 values.
struct ConvertedMatrix {
  /// Element (0, 0) of the stored matrix.
  var pointer: UnsafeMutableRawPointer
  /// Logical rows, after transposition.
  let rows: Int
  /// Logical columns, after transposition.
  let columns: Int
  /// Elements from one stored row to the next.
  let stride: Int
  /// Whether the stored matrix is the transpose of the logical one.
  let isTransposed: Bool
  /// Bytes of an element: 2 or 4.
  let elementBytes: Int

  /// The first element of logical row `index`.
  @inline(__always)
  func row(_ index: Int) -> UnsafeMutableRawPointer {
    pointer + (isTransposed ? index : index * stride) * elementBytes
  }

  /// The first element of logical column `index`.
  @inline(__always)
  func column(_ index: Int) -> UnsafeMutableRawPointer {
    pointer + (isTransposed ? index * stride : index) * elementBytes
  }

  /// The matrix as fp32 products read it.
  ///
  /// - Precondition: elements have 4 bytes.
  var widened: Matrix {
    let floats = pointer.assumingMemoryBound(to: Float.self)
    let stored = Matrix(
      floats, isTransposed ? columns : rows, isTransposed ? rows : columns, stride: stride)
    return isTransposed ? stored.transposed : stored
  }
}

/// Rounds the logical rows of a matrix to bf16 numbers, on all threads, into a dense row-major copy.
///
/// A transposed matrix is transposed on the way, because products of plain row-major operands are the
/// fastest.
func convert(_ source: Matrix, to target: UnsafeMutableRawPointer, elementBytes: Int) {
  let height = 32
  let job = (source, target, elementBytes)
  parallelFor((source.rows + height - 1) / height, job) { job, tile in
    let (source, target, elementBytes) = job
    let rows = (tile * 32)..<min(tile * 32 + 32, source.rows)
    if elementBytes == 2 {
      let target = target.assumingMemoryBound(to: BFloat16.self)
      convertRows(source, rows, to: target) { $0 }
    } else {
      let target = target.assumingMemoryBound(to: Float.self)
      convertRows(source, rows, to: target) { Float($0) }
    }
  }
}

@inline(__always)
private func convertRows<Element>(
  _ source: Matrix, _ rows: Range<Int>, to target: UnsafeMutablePointer<Element>,
  _ element: (BFloat16) -> Element
) {
  let columns = source.columns
  guard source.isTransposed else {
    for row in rows {
      let (from, to) = (source.row(row), target + row * columns)
      for i in 0..<columns { to[i] = element(BFloat16(from[i])) }
    }
    return
  }
  // 32 x 32 blocks stay in the first-level cache while they are read across and written along.
  var first = 0
  while first < columns {
    let last = min(first + 32, columns)
    for row in rows {
      let (from, to) = (source.pointer + row, target + row * columns)
      for i in first..<last { to[i] = element(BFloat16(from[i * source.stride])) }
    }
    first = last
  }
}
