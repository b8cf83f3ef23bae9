/// `y[r] = table[tokens[r]]` for `rows` rows of `width` floats.
///
/// - Precondition: tokens were checked against the vocabulary.
public func embeddingForward(
  _ tokens: UnsafePointer<Int32>, table: Floats, into y: Floats, rows: Int, width: Int
) {
  let tiles = RowTiles(rows)
  parallelFor(tiles.count, (tokens, table, y, tiles, width)) { job, tile in
    let (tokens, table, y, tiles, width) = job
    for row in tiles[tile] {
      (y + row * width).update(from: table + Int(tokens[row]) * width, count: width)
    }
  }
}

/// `dtable[tokens[r]] += dy[r]`, rows in order; threads divide the columns, so the order of additions
/// never depends on them.
public func embeddingBackward(
  _ dy: Floats, tokens: UnsafePointer<Int32>, accumulatingInto dtable: Floats, rows: Int, width: Int
) {
  let block = 64
  parallelFor((width + block - 1) / block, (dy, tokens, dtable, rows, width)) { job, index in
    let (dy, tokens, dtable, rows, width) = job
    let columns = (index * 64)..<min((index + 1) * 64, width)
    for row in 0..<rows {
      let target = dtable + Int(tokens[row]) * width
      let source = dy + row * width
      for j in columns { target[j] += source[j] }
    }
  }
}
