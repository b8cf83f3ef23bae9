import COpenBLAS
import ErrorReporting
import TensorStorage

/// Mutable single-precision memory, as every kernel takes it.
public typealias Floats = UnsafeMutablePointer<Float>

/// A row-major matrix in memory that somebody else owns.
public struct Matrix {
  /// Element (0, 0) of the stored matrix.
  public var pointer: Floats
  /// Logical rows, after transposition.
  public var rows: Int
  /// Logical columns, after transposition.
  public var columns: Int
  /// Elements from one stored row to the next.
  public var stride: Int
  /// Whether the stored matrix is the transpose of the logical one.
  public var isTransposed = false
  /// The dense bf16 copy that `withSharedOperand` made of the whole matrix.
  var converted: UnsafeMutableRawPointer?

  /// A dense matrix, or a block of columns of a wider one when `stride` is given.
  @inline(__always)
  public init(_ pointer: Floats, _ rows: Int, _ columns: Int, stride: Int? = nil) {
    self.pointer = pointer
    self.rows = rows
    self.columns = columns
    self.stride = stride ?? columns
  }

  /// The transpose, without moving anything.
  @inline(__always)
  public var transposed: Matrix {
    var result = self
    swap(&result.rows, &result.columns)
    result.isTransposed.toggle()
    return result
  }

  /// The first element of a stored row.
  @inline(__always)
  public func row(_ index: Int) -> Floats { pointer + index * stride }

  /// Logical rows `first ..< first + count`.
  @inline(__always)
  func rows(from first: Int, count: Int) -> Matrix {
    var result = self
    result.pointer += isTransposed ? first : first * stride
    result.rows = count
    result.converted = nil
    return result
  }

  /// Logical columns `first ..< first + count`.
  @inline(__always)
  func columns(from first: Int, count: Int) -> Matrix {
    transposed.rows(from: first, count: count).transposed
  }
}

/// Prepares OpenBLAS: all parallelism is `parallelFor`'s, each product call is single-threaded.
public func configureBLAS() {
  openblas_set_num_threads(1)
}

/// The core name, version and threading of the OpenBLAS in use; bits may differ between core names.
public func blasDescription() -> String {
  let core = openblas_get_corename().map { String(cString: $0) } ?? "unknown core"
  let config = openblas_get_config().map { String(cString: $0) } ?? "unknown build"
  return "\(config) [\(core)]"
}

/// `c = a b`, or `c += a b`, on the calling thread.
///
/// Accumulates in fp32 in an order that depends on the shapes only.
@inline(__always)
public func serialProduct(
  _ a: Matrix, _ b: Matrix, into c: Matrix, scale: Float = 1, accumulate: Bool = false
) {
  cblas_sgemm(
    CblasRowMajor, a.isTransposed ? CblasTrans : CblasNoTrans,
    b.isTransposed ? CblasTrans : CblasNoTrans, blasint(c.rows), blasint(c.columns),
    blasint(a.columns), scale, a.pointer, blasint(a.stride), b.pointer, blasint(b.stride),
    accumulate ? 1 : 0, c.pointer, blasint(c.stride))
}

/// `c = a b` on all threads, like `matrixProduct(_:_:accumulatingInto:)`.
public func matrixProduct(_ a: Matrix, _ b: Matrix, into c: Matrix) {
  product(a, b, c, accumulate: false)
}

/// `c += a b` on all threads.
///
/// `c` is cut into tiles whose sizes follow from its shape alone; each tile is one single-threaded
/// product. So the result does not depend on the number of threads. In fp32, or as
/// `BFloat16Products.run` says.
///
/// - Precondition: `a` is `[M, K]`, `b` is `[K, N]`, `c` is `[M, N]` and not transposed.
public func matrixProduct(_ a: Matrix, _ b: Matrix, accumulatingInto c: Matrix) {
  product(a, b, c, accumulate: true)
}

private func product(_ a: Matrix, _ b: Matrix, _ c: Matrix, accumulate: Bool) {
  require(
    a.rows == c.rows && b.columns == c.columns && a.columns == b.rows && !c.isTransposed,
    "product of [\(a.rows), \(a.columns)] and [\(b.rows), \(b.columns)] into [\(c.rows), \(c.columns)]"
  )
  require(
    c.pointer != a.pointer && c.pointer != b.pointer, "a product is written over its operand")
  if let weights = BFloat16Weights.current, weights.product(a, b, c, accumulate: accumulate) {
    return
  }
  if let products = BFloat16Products.current {
    products.product(a, b, c, accumulate: accumulate)
  } else {
    tiledProduct(a, b, c, accumulate: accumulate)
  }
}

/// The product in fp32.
func tiledProduct(_ a: Matrix, _ b: Matrix, _ c: Matrix, accumulate: Bool) {
  let grid = TileGrid(rows: c.rows, columns: c.columns)
  parallelFor(grid.count, (a, b, c, grid, accumulate)) { job, tile in
    let (a, b, c, grid, accumulate) = job
    let (rows, columns) = grid[tile]
    serialProduct(
      a.rows(from: rows.lowerBound, count: rows.count),
      b.columns(from: columns.lowerBound, count: columns.count),
      into: c.rows(from: rows.lowerBound, count: rows.count)
        .columns(from: columns.lowerBound, count: columns.count),
      accumulate: accumulate)
  }
}

/// A cut of a matrix into tiles, a function of its shape only.
///
/// Tiles are as equal as the micro-kernel's width of 16 lets them be, and a side that is cut is cut into
/// an even number, so that two, four or eight threads have equal shares. Large tiles are good: OpenBLAS
/// packs the operands of every call anew.
struct TileGrid {
  let rows: Int
  let columns: Int
  let tileRows: Int
  let tileColumns: Int

  /// Tiles wanted so that a few threads can share them evenly.
  private static let wanted = 8
  /// Tiles are not cut below this.
  private static let smallest = 128

  init(rows: Int, columns: Int) {
    self.rows = rows
    self.columns = columns
    var (down, across) = (Self.parts(rows, of: 1024), Self.parts(columns, of: 2048))
    func size(_ length: Int, _ parts: Int) -> Int { ((length + parts - 1) / parts + 15) / 16 * 16 }
    while down * across < Self.wanted {
      let (height, width) = (size(rows, down), size(columns, across))
      if max(height, width) <= Self.smallest { break }
      if height >= width { down *= 2 } else { across *= 2 }
    }
    tileRows = max(size(rows, down), 1)
    tileColumns = max(size(columns, across), 1)
  }

  /// Parts of at most `size`, an even number of them unless one is enough.
  private static func parts(_ length: Int, of size: Int) -> Int {
    let parts = max((length + size - 1) / size, 1)
    return parts == 1 ? 1 : (parts + 1) / 2 * 2
  }

  /// Tiles from left to right.
  var across: Int { (columns + tileColumns - 1) / tileColumns }
  /// Tiles from top to bottom.
  var down: Int { (rows + tileRows - 1) / tileRows }

  var count: Int { down * across }

  subscript(tile: Int) -> (Range<Int>, Range<Int>) {
    let row = tile / across * tileRows
    let column = tile % across * tileColumns
    return (row..<min(row + tileRows, rows), column..<min(column + tileColumns, columns))
  }
}
