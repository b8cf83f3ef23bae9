/// A cut of `rows` rows into tiles of a fixed height, so that per-tile partial sums (and therefore
/// results) do not depend on the number of threads.
public struct RowTiles {
  /// Rows in a tile.
  public static let height = 32

  /// Rows altogether.
  public let rows: Int

  /// Cuts `rows` rows.
  @inline(__always)
  public init(_ rows: Int) { self.rows = rows }

  /// Number of tiles.
  @inline(__always)
  public var count: Int { (rows + Self.height - 1) / Self.height }

  /// The rows of one tile.
  @inline(__always)
  public subscript(tile: Int) -> Range<Int> {
    (tile * Self.height)..<min((tile + 1) * Self.height, rows)
  }
}

/// A cut of the columns of many states into tasks, a function of the sizes only.
public struct ColumnBlocks {
  /// States.
  let sets: Int
  /// Columns of each.
  let width: Int

  /// Cuts `sets` states of `width` columns.
  @inline(__always)
  public init(sets: Int, width: Int) { (self.sets, self.width) = (sets, width) }

  /// Columns of a task.
  var block: Int { sets * ((width + 127) / 128) >= 8 ? 128 : 64 }

  private var blocks: Int { (width + block - 1) / block }

  /// Number of tasks.
  var count: Int { sets * blocks }

  /// A task.
  @inline(__always)
  subscript(task: Int) -> StateTask {
    let first = task % blocks * block
    return StateTask(set: task / blocks, columns: first..<min(first + block, width))
  }
}

/// `y[j] += sum over tiles of partial[tile][j]`, tiles in order, for `width` columns.
///
/// The second half of every reduction over rows: each tile has summed its own rows into its row of
/// `partial`.
func addTilePartials(_ partial: Floats, tiles: Int, width: Int, accumulatingInto y: Floats) {
  let columns = 256
  parallelFor((width + columns - 1) / columns, (partial, tiles, width, y)) { job, block in
    let (partial, tiles, width, y) = job
    let first = block * 256
    let last = min(first + 256, width)
    for tile in 0..<tiles {
      let row = partial + tile * width
      for j in first..<last { y[j] += row[j] }
    }
  }
}

/// `y[j] += sum over rows of x[row][j]`: the gradient of a bias.
///
/// - Parameters:
///   - x: `[rows, width]`.
///   - rows: number of rows.
///   - width: numbers in a row.
///   - scratch: at least `RowTiles(rows).count * width` floats.
///   - y: `[width]`, added to.
public func columnSums(
  _ x: Floats, rows: Int, width: Int, scratch: Floats, accumulatingInto y: Floats
) {
  let tiles = RowTiles(rows)
  parallelFor(tiles.count, (x, tiles, width, scratch)) { job, tile in
    let (x, tiles, width, scratch) = job
    let sum = scratch + tile * width
    for j in 0..<width { sum[j] = 0 }
    for row in tiles[tile] {
      let source = x + row * width
      for j in 0..<width { sum[j] += source[j] }
    }
  }
  addTilePartials(scratch, tiles: tiles.count, width: width, accumulatingInto: y)
}

/// `y[row][j] += bias[j]`: a bias on every row.
public func addBias(_ bias: Floats, accumulatingInto y: Floats, rows: Int, width: Int) {
  let tiles = RowTiles(rows)
  parallelFor(tiles.count, (bias, y, tiles, width)) { job, tile in
    let (bias, y, tiles, width) = job
    for row in tiles[tile] {
      let y = y + row * width
      for j in 0..<width { y[j] += bias[j] }
    }
  }
}

/// Adds `source` to `target`, element by element, on all threads.
public func add(_ source: Floats, count: Int, accumulatingInto target: Floats) {
  let block = 1 << 14
  parallelFor((count + block - 1) / block, (source, count, target)) { job, index in
    let (source, count, target) = job
    let first = index << 14
    for i in first..<min(first + (1 << 14), count) { target[i] += source[i] }
  }
}

/// Copies `source` to `target` on all threads.
public func copy(_ source: Floats, count: Int, into target: Floats) {
  let block = 1 << 14
  parallelFor((count + block - 1) / block, (source, count, target)) { job, index in
    let (source, count, target) = job
    let first = index << 14
    (target + first).update(from: source + first, count: min(1 << 14, count - first))
  }
}

/// Sets `count` elements to zero on all threads.
public func zero(_ target: Floats, count: Int) {
  let block = 1 << 14
  parallelFor((count + block - 1) / block, (target, count)) { job, index in
    let (target, count) = job
    let first = index << 14
    (target + first).update(repeating: 0, count: min(1 << 14, count - first))
  }
}
