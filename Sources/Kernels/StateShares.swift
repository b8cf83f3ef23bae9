// A recurrence over tokens that several ranks share. It is linear in its state,
//
//   S_end = T S_start + S_loc,     T the transition of a part, S_loc its state from a zero start,
//
// and so is the gradient, G_start = T^T G_end + G_loc. So every part computes its (S_loc, T), all parts
// learn all of them, and each folds them in order: that gives it the state at its own start and the
// state after the last part, the same bits on every rank. Nothing is divided by T, and it may be 0.

/// What every part of a sequence computed from a zero start: blocks of equal size, one a part, each a
/// state (or the gradient of one) and then the part's transition.
public struct StateShares {
  let base: Floats
  let stateCount: Int
  let transitionCount: Int
  /// Parts.
  public let parts: Int

  /// Floats of one part's block.
  public var shareCount: Int { stateCount + transitionCount }

  /// Where the blocks are.
  public var pointer: Floats { base }

  /// The state of a part, in the layout of the recurrence's states.
  @inline(__always)
  public func state(of part: Int) -> Floats { base + part * shareCount }

  /// The transition of a part.
  @inline(__always)
  public func transition(of part: Int) -> Floats { base + part * shareCount + stateCount }
}

/// Which way a fold over parts goes.
public enum FoldDirection: Sendable {
  /// States: from the first part to the last.
  case forward
  /// Gradients of states: from the last part to the first.
  case backward

  /// The part that comes at a place in the order.
  @inline(__always)
  func part(_ place: Int, of parts: Int) -> Int {
    self == .forward ? place : parts - 1 - place
  }
}

/// The product of all chunks' decays of each channel: `decay[c] = exp(gamma_0)[c] exp(gamma_1)[c] ...`.
func totalDecay(
  _ chunkDecays: Floats, chunks: Int, width: Int, into decay: Floats
) {
  decay.update(repeating: 1, count: width)
  for chunk in 0..<chunks {
    let factor = chunkDecays + chunk * width
    for c in 0..<width { decay[c] *= factor[c] }
  }
}
