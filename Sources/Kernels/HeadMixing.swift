// R rows, H heads, Kd key channels of all heads together.

/// `y[r, h, c] = mix[h, c] * q[r, c]`: what each head of a merged state reads of every key channel.
///
/// - Parameters:
///   - q: `[R, Kd]`.
///   - mix: `[H, Kd]`.
///   - y: `[R, H, Kd]`, overwritten.
///   - rows: `R`.
///   - heads: `H`.
///   - channels: `Kd`.
public func headMixingForward(
  _ q: Floats, mix: Floats, into y: Floats, rows: Int, heads: Int, channels: Int
) {
  let tiles = RowTiles(rows)
  parallelFor(tiles.count, (q, mix, y, tiles, heads, channels)) { job, tile in
    let (q, mix, y, tiles, heads, channels) = job
    for row in tiles[tile] {
      let q = q + row * channels
      for head in 0..<heads {
        let (mix, y) = (mix + head * channels, y + (row * heads + head) * channels)
        for c in 0..<channels { y[c] = mix[c] * q[c] }
      }
    }
  }
}

/// Gradients of `headMixingForward`.
///
/// - Parameters:
///   - dy: `[R, H, Kd]`.
///   - q: as given to forward.
///   - mix: as given to forward.
///   - dq: `[R, Kd]`, overwritten.
///   - dmix: `[H, Kd]`, added to; nil for coefficients that are not trained.
///   - scratch: at least `RowTiles(R).count * H * Kd` floats.
///   - rows: `R`.
///   - heads: `H`.
///   - channels: `Kd`.
public func headMixingBackward(
  _ dy: Floats, q: Floats, mix: Floats, into dq: Floats, dmix: Floats?, scratch: Floats, rows: Int,
  heads: Int, channels: Int
) {
  let tiles = RowTiles(rows)
  parallelFor(tiles.count, (dy, q, mix, dq, scratch, tiles, heads, channels)) { job, tile in
    let (dy, q, mix, dq, scratch, tiles, heads, channels) = job
    let partial = scratch + tile * heads * channels
    partial.update(repeating: 0, count: heads * channels)
    for row in tiles[tile] {
      let (q, dq) = (q + row * channels, dq + row * channels)
      dq.update(repeating: 0, count: channels)
      for head in 0..<heads {
        let (mix, partial) = (mix + head * channels, partial + head * channels)
        let dy = dy + (row * heads + head) * channels
        for c in 0..<channels {
          dq[c] += mix[c] * dy[c]
          partial[c] += q[c] * dy[c]
        }
      }
    }
  }
  guard let dmix else { return }
  addTilePartials(scratch, tiles: tiles.count, width: heads * channels, accumulatingInto: dmix)
}
