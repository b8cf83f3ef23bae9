/// `y[r, h, :] = x[r, h / groupSize, :]`: keys and values that groups of heads share.
public func repeatHeads(
  _ x: Floats, into y: Floats, rows: Int, heads: Int, headDim: Int, groupSize: Int
) {
  let tiles = RowTiles(rows)
  parallelFor(tiles.count, (x, y, tiles, heads, headDim, groupSize)) { job, tile in
    let (x, y, tiles, heads, headDim, groupSize) = job
    for row in tiles[tile] {
      for head in 0..<heads {
        (y + (row * heads + head) * headDim).update(
          from: x + (row * (heads / groupSize) + head / groupSize) * headDim, count: headDim)
      }
    }
  }
}

/// `y[r, h, :] = sum over the group of x[r, group heads, :]`: the gradient of `repeatHeads`.
public func sumHeadGroups(
  _ x: Floats, into y: Floats, rows: Int, heads: Int, headDim: Int, groupSize: Int
) {
  let tiles = RowTiles(rows)
  parallelFor(tiles.count, (x, y, tiles, heads, headDim, groupSize)) { job, tile in
    let (x, y, tiles, heads, headDim, groupSize) = job
    for row in tiles[tile] {
      for group in 0..<(heads / groupSize) {
        let target = y + (row * (heads / groupSize) + group) * headDim
        let first = x + (row * heads + group * groupSize) * headDim
        target.update(from: first, count: headDim)
        for head in 1..<max(groupSize, 1) {
          let source = first + head * headDim
          for c in 0..<headDim { target[c] += source[c] }
        }
      }
    }
  }
}
