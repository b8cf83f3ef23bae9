import Kernels
import TensorFiles
import TensorStorage

/// Where the states at segment starts are kept from the forward sweep to the backward sweep.
///
/// All of them give the same gradient, bit for bit.
public enum SegmentStateStorage: Sendable, Equatable {
  /// All in memory.
  case memory
  /// Every n-th in memory; those between are computed again, a group of n at a time, at the price of
  /// up to one more forward pass.
  case thinned(every: Int)
  /// All in a file without a name in that directory, made when it is first needed.
  case spilled(directory: String)

  /// States that are in memory at one time, of a sequence of `segments` segments.
  public func statesInMemory(segments: Int) -> Int {
    switch self {
    case .memory: segments
    case .thinned(let n): (segments + n - 1) / n + min(n, segments) - 1
    case .spilled: 1
    }
  }

  /// Segments that are run forward once more because of thinning.
  public func recomputedSegments(_ segments: Int) -> Int {
    guard case .thinned(let n) = self else { return 0 }
    return segments - (segments + n - 1) / n
  }

  /// The smallest n for which thinning keeps at most `states` states in memory; nil if there is none.
  public static func thinning(segments: Int, states: Int) -> Int? {
    guard segments > 1 else { return nil }
    return (2...segments).first {
      Self.thinned(every: $0).statesInMemory(segments: segments) <= states
    }
  }
}

/// The states at the starts of a sequence's segments.
final class SegmentStates {
  private let storage: SegmentStateStorage
  private let stateCount: Int
  private let segments: Int
  /// All states, or the kept ones; of a spilled sequence the one that was read last.
  private let kept: FloatBuffer
  /// Starts of a thinned group's segments but the first.
  private let window: FloatBuffer
  private var file: ScratchFile?

  init(_ storage: SegmentStateStorage, segments: Int, stateCount: Int) {
    self.storage = storage
    self.segments = segments
    self.stateCount = stateCount
    var (keptCount, windowCount) = (segments, 0)
    switch storage {
    case .memory: break
    case .thinned(let n):
      keptCount = (segments + n - 1) / n
      windowCount = min(n, segments) - 1
    case .spilled: keptCount = 1
    }
    kept = FloatBuffer(count: keptCount * stateCount)
    window = FloatBuffer(count: windowCount * stateCount)
  }

  /// Keeps the state at the start of a segment, if it is one that is kept.
  ///
  /// - Throws: `.io` when it cannot be written.
  func keep(_ state: Floats, of segment: Int) throws(TensorFileError) {
    switch storage {
    case .memory: copy(state, count: stateCount, into: slot(kept, segment))
    case .thinned(let n):
      guard segment.isMultiple(of: n) else { return }
      copy(state, count: stateCount, into: slot(kept, segment / n))
    case .spilled(let directory):
      if file == nil {
        file = try ScratchFile(directory: directory, count: segments * stateCount)
      }
      try file?.write(state, count: stateCount, at: segment * stateCount)
    }
  }

  /// The state at the start of a segment, the segments being asked for from the last to the first.
  ///
  /// - Parameters:
  ///   - segment: whose start is wanted.
  ///   - advance: runs a segment forward: (segment, its start, overwritten with its end). Called only
  ///     when states were thinned.
  /// - Returns: the state; valid until the next call.
  /// - Throws: `.io` when a spilled state cannot be read.
  func start(
    of segment: Int, advance: (Int, Floats) -> Void
  ) throws(TensorFileError) -> Floats {
    switch storage {
    case .memory: return slot(kept, segment)
    case .spilled:
      try file?.read(into: kept.pointer, count: stateCount, at: segment * stateCount)
      return kept.pointer
    case .thinned(let n):
      let first = segment / n * n
      let isLastOfGroup = segment == min(first + n, segments) - 1
      if isLastOfGroup { refill(from: first, to: segment, every: n, advance: advance) }
      return segment == first ? slot(kept, first / n) : slot(window, segment - first - 1)
    }
  }

  /// Computes the starts of `first + 1 ... last` again.
  private func refill(from first: Int, to last: Int, every n: Int, advance: (Int, Floats) -> Void) {
    var state = slot(kept, first / n)
    for segment in first..<last {
      let next = slot(window, segment - first)
      copy(state, count: stateCount, into: next)
      advance(segment, next)
      state = next
    }
  }

  private func slot(_ buffer: FloatBuffer, _ index: Int) -> Floats {
    buffer.pointer + index * stateCount
  }
}
