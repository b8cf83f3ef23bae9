import ErrorReporting
import Files
import Kernels
import Layers
import TensorStorage

/// Where the states at segment starts are kept from the forward sweep to the backward sweep.
///
/// All of them give the same gradient, bit for bit.
public enum SegmentStateStorage: Sendable, Equatable {
  /// All in memory.
  case memory
  /// Every n-th in memory; those between are computed again, n at a time, at the price of
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
    return thinnings(segments).dropFirst().first {
      Self.thinned(every: $0).statesInMemory(segments: segments) <= states
    }
  }

  /// The fewest states that thinning can keep in memory.
  public static func leastStates(segments: Int) -> Int {
    thinnings(segments).map { Self.thinned(every: $0).statesInMemory(segments: segments) }.min()
      ?? 1
  }

  /// Thinnings worth a look: from the square root of the number of segments on, more states are kept again.
  private static func thinnings(_ segments: Int) -> ClosedRange<Int> {
    1...min(segments, Int(Double(segments).squareRoot()) + 2)
  }
}

/// How much of the states at segment starts a rank keeps.
///
/// All ranks of a group have the same states, so each keeps some elements of every one, and they are gathered
/// when they are wanted.
public struct SegmentStateSizes: Sendable, Equatable {
  /// Segments of a sequence.
  public let segments: Int
  /// Floats of a state.
  public let stateCount: Int
  /// Ranks that share the sequence.
  public let parts: Int

  /// Describes the states of a sequence.
  public init(segments: Int, stateCount: Int, parts: Int) {
    (self.segments, self.stateCount, self.parts) = (segments, stateCount, parts)
  }

  /// Whether states are divided: not where the place to gather one would be all that is saved.
  var isDivided: Bool { parts > 1 && segments > 2 }

  /// Floats that a rank keeps of a state.
  public var ownCount: Int { isDivided ? (stateCount + parts - 1) / parts : stateCount }

  /// Floats of the place where a state is gathered; 0 if states are not divided.
  public var gatheredCount: Int { isDivided ? parts * ownCount : 0 }

  /// Floats of memory on a rank.
  public func memory(_ storage: SegmentStateStorage) -> Int {
    storage.statesInMemory(segments: segments) * ownCount + gatheredCount
  }

  /// The elements of a state that a part keeps.
  func elements(of part: Int) -> Range<Int> {
    guard isDivided else { return 0..<stateCount }
    return min(part * ownCount, stateCount)..<min((part + 1) * ownCount, stateCount)
  }
}

/// The states at the starts of a sequence's segments.
final class SegmentStates {
  private let storage: SegmentStateStorage
  private let sizes: SegmentStateSizes
  private let group: (any SequenceGroup)?
  /// What this rank keeps of a state.
  private let own: Range<Int>
  /// All states, or the kept ones; of a spilled sequence the one that was read last.
  private let kept: FloatBuffer
  /// Starts of the segments between two kept ones, of a thinned sequence.
  private let window: FloatBuffer
  /// Where a divided state is put together.
  private let gathered: FloatBuffer
  private var file: ScratchFile?
  /// Whether the sweep forward has come to the start of a segment.
  private var isPassed: [Bool]
  /// The kept segment whose followers' starts are in the window; nil for none.
  private var windowFollows: Int?

  /// Allocates for `segments` states of `stateCount` floats.
  ///
  /// - Parameters:
  ///   - storage: where they are kept, the same on all ranks that share the sequence.
  ///   - segments: segments of the sequence.
  ///   - stateCount: floats of a state.
  ///   - group: the ranks that have the same states; nil for this one alone.
  init(
    _ storage: SegmentStateStorage, segments: Int, stateCount: Int,
    group: (any SequenceGroup)? = nil
  ) {
    self.storage = storage
    sizes = SegmentStateSizes(
      segments: segments, stateCount: stateCount, parts: group?.parts ?? 1)
    self.group = sizes.isDivided ? group : nil
    own = sizes.elements(of: group?.part ?? 0)
    var (keptCount, windowCount) = (segments, 0)
    switch storage {
    case .memory: break
    case .thinned(let n):
      keptCount = (segments + n - 1) / n
      windowCount = min(n, segments) - 1
    case .spilled: keptCount = 1
    }
    kept = FloatBuffer(count: keptCount * sizes.ownCount)
    window = FloatBuffer(count: windowCount * sizes.ownCount)
    gathered = FloatBuffer(count: sizes.gatheredCount)
    isPassed = Array(repeating: false, count: segments)
  }

  /// Keeps the state at the start of a segment, if it is one that is kept.
  ///
  /// - Throws: `.io` when it cannot be written.
  func keep(_ state: Floats, of segment: Int) throws(FileError) {
    if segment == 0 {
      for index in isPassed.indices { isPassed[index] = false }
      windowFollows = nil
    }
    defer { isPassed[segment] = true }
    switch storage {
    case .memory: put(state, into: slot(kept, segment))
    case .thinned(let n):
      guard segment.isMultiple(of: n) else { return }
      put(state, into: slot(kept, segment / n))
    case .spilled(let directory):
      if file == nil {
        file = try ScratchFile(
          directory: directory, count: sizes.segments * sizes.ownCount)
      }
      try file?.write(
        state + own.lowerBound, count: own.count, at: segment * sizes.ownCount)
    }
  }

  /// The state at the start of a segment, the segments being asked for from the last to the first.
  ///
  /// Collective over the ranks that share the sequence.
  ///
  /// - Parameters:
  ///   - segment: whose start is wanted.
  ///   - advance: runs a segment forward: (segment, its start, overwritten with its end). Called only
  ///     when states were thinned.
  /// - Returns: the state; valid until the next call.
  /// - Throws: `.io` when a spilled state cannot be read.
  func start(
    of segment: Int, advance: (Int, Floats) -> Void
  ) throws(FileError) -> Floats {
    require(isPassed[segment], "the start of segment \(segment) was not passed")
    switch storage {
    case .memory: return whole(slot(kept, segment))
    case .spilled:
      try file?.read(into: kept.pointer, count: own.count, at: segment * sizes.ownCount)
      return whole(kept.pointer)
    case .thinned(let n):
      let first = segment / n * n
      if segment == min(first + n, sizes.segments) - 1 {
        refill(from: first, to: segment, advance: advance)
      }
      require(
        segment == first || windowFollows == first, "segment \(segment) is asked for too early")
      return whole(segment == first ? slot(kept, first / n) : slot(window, segment - first - 1))
    }
  }

  /// Computes the starts of `first + 1 ... last` again.
  private func refill(from first: Int, to last: Int, advance: (Int, Floats) -> Void) {
    guard case .thinned(let n) = storage else { return }
    windowFollows = first
    var state = whole(slot(kept, first / n))
    for segment in first..<last {
      let place = slot(window, segment - first)
      // A state of its own to run on: the gathered one, or its place in the window.
      let next = group == nil ? place : gathered.pointer
      if next != state { copy(state, count: sizes.stateCount, into: next) }
      advance(segment, next)
      if next != place { put(next, into: place) }
      state = next
    }
  }

  /// Keeps this rank's part of a state.
  private func put(_ state: Floats, into place: Floats) {
    copy(state + own.lowerBound, count: own.count, into: place)
  }

  /// The state of which `place` holds this rank's part.
  private func whole(_ place: Floats) -> Floats {
    guard let group else { return place }
    copy(
      place, count: own.count, into: gathered.pointer + group.part * sizes.ownCount)
    group.gather(inPlace: gathered.pointer, count: sizes.ownCount)
    return gathered.pointer
  }

  private func slot(_ buffer: FloatBuffer, _ index: Int) -> Floats {
    buffer.pointer + index * sizes.ownCount
  }
}
