// A recurrence that several ranks share (`StateShares`): what one part computes from a zero start, and
// the fold over all parts.

extension SSDDims {
  /// Floats that one part tells the others: `B * N * H * P` of state and `B * H * P` of decay.
  public var shareCount: Int { stateCount + batch * width }

  /// Shares of `parts` parts in `parts * shareCount` floats.
  public func shares(_ base: Floats, parts: Int) -> StateShares {
    StateShares(base: base, stateCount: stateCount, decayCount: batch * width, parts: parts)
  }
}

/// The final state from a zero start and the total decay, after `chunkSSDPrepare`.
///
/// Costs `2 N P` floating-point operations for each token and head.
///
/// - Parameters:
///   - x: as given to `chunkSSDPrepare`.
///   - shares: block `part` is overwritten.
///   - part: the part that these tokens are.
///   - scratch: as `chunkSSDPrepare` left it.
///   - dims: the sizes of this part.
public func chunkSSDLocalState(
  _ x: SSDInputs, into shares: StateShares, part: Int, scratch: Floats, dims: SSDDims
) {
  let s = SSDScratch(scratch, dims, backward: false)
  parallelFor(dims.columnBlocks.count, (x, s, shares.state(of: part), dims)) { job, task in
    let (x, s, target, dims) = job
    let (set, columns) = dims.columnBlocks[task]
    let state = dims.state(target, set, columns)
    clearRows(state)
    for chunk in 0..<dims.chunks { advance(state, x, s, set, chunk, columns, dims) }
  }
  storeDecays(s, shares.decay(of: part), dims)
}

/// The gradient of the initial state for a zero gradient of the final one, and the total decay, after
/// `chunkSSDPrepareBackward`.
///
/// Costs `2 N P` floating-point operations for each token and head.
///
/// - Parameters:
///   - x: as given to `chunkSSDPrepareBackward`.
///   - shares: block `part` is overwritten.
///   - part: the part that these tokens are.
///   - scratch: as `chunkSSDPrepareBackward` left it.
///   - dims: the sizes of this part.
public func chunkSSDLocalStateGradient(
  _ x: SSDInputs, into shares: StateShares, part: Int, scratch: Floats, dims: SSDDims
) {
  let s = SSDScratch(scratch, dims, backward: true)
  parallelFor(dims.columnBlocks.count, (x, s, shares.state(of: part), dims)) { job, task in
    let (x, s, target, dims) = job
    let (set, columns) = dims.columnBlocks[task]
    let gradient = dims.state(target, set, columns)
    clearRows(gradient)
    for chunk in (0..<dims.chunks).reversed() { retreat(gradient, x, s, set, chunk, columns, dims) }
  }
  storeDecays(s, shares.decay(of: part), dims)
}

private func storeDecays(_ s: SSDScratch, _ decays: Floats, _ dims: SSDDims) {
  for b in 0..<dims.batch {
    totalDecay(
      s.decay + b * dims.chunks * dims.width, chunks: dims.chunks, width: dims.width,
      into: decays + b * dims.width)
  }
}

/// Goes over all parts in order: `S = D_j S + S_j`.
///
/// - Parameters:
///   - shares: every part's block.
///   - direction: forward for states, backward for gradients.
///   - part: the part whose own value is wanted.
///   - state: `[B, G, N, H / G, P]`: in, the value before the first part in that order; out, after the
///     last.
///   - own: `[B, G, N, H / G, P]`, overwritten with the value before part `part`.
///   - dims: the sizes; the length does not matter.
public func foldSSDStates(
  _ shares: StateShares, _ direction: FoldDirection, part: Int, stateInPlace state: Floats,
  into own: Floats, dims: SSDDims
) {
  parallelFor(dims.columnBlocks.count, (shares, direction, part, state, own, dims)) { job, task in
    let (shares, direction, part, state, own, dims) = job
    let (set, columns) = dims.columnBlocks[task]
    let running = dims.state(state, set, columns)
    let channels = set * dims.groupWidth + columns.lowerBound
    for place in 0..<shares.parts {
      let index = direction.part(place, of: shares.parts)
      if index == part { copyRows(running, into: dims.state(own, set, columns)) }
      scaleColumns(running, by: shares.decay(of: index) + channels)
      addRows(dims.state(shares.state(of: index), set, columns), into: running)
    }
  }
}
