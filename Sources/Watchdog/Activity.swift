import Synchronization

/// What a rank can be doing.
public enum RunPhase: UInt8, Sendable, CaseIterable, CustomStringConvertible {
  case starting, reading, computing, updating, recording, saving, evaluating, exporting

  /// For a sentence such as `rank 3 was computing gradients`.
  public var description: String {
    switch self {
    case .starting: "starting"
    case .reading: "reading samples"
    case .computing: "computing gradients"
    case .updating: "updating parameters"
    case .recording: "writing metrics"
    case .saving: "saving"
    case .evaluating: "evaluating, or waiting for the evaluation"
    case .exporting: "exporting, or waiting for the export"
    }
  }

  /// Whether ranks can do nothing there but compute and exchange: then it takes no reader's or writer's
  /// patience to wait, and no progress on any rank means that they wait for each other for ever.
  var isPureComputation: Bool { self == .computing || self == .updating }
}

/// What this rank is doing, written by the thread that does it and read by the one that watches.
public final class Activity: Sendable {
  private let phase = Atomic<UInt8>(RunPhase.starting.rawValue)
  private let step = Atomic<Int>(0)
  private let changes = Atomic<Int>(0)
  private let saved = Atomic<Int>(-1)

  /// Starting.
  public init() {}

  /// Says what comes now.
  ///
  /// - Parameters:
  ///   - phase: what.
  ///   - step: the step under way, or done; nil if that has not changed.
  public func enter(_ phase: RunPhase, step: Int? = nil) {
    self.phase.store(phase.rawValue, ordering: .relaxed)
    if let step { self.step.store(step, ordering: .relaxed) }
    changes.wrappingAdd(1, ordering: .relaxed)
  }

  /// Says which step's checkpoint is safe.
  public func hasSaved(_ step: Int) { saved.store(step, ordering: .relaxed) }

  /// The step that was saved last; nil if none was.
  var savedStep: Int? {
    let step = saved.load(ordering: .relaxed)
    return step < 0 ? nil : step
  }

  /// Phase, step, and a number that changes with the phase.
  var current: (phase: RunPhase, step: Int, changes: Int) {
    (
      RunPhase(rawValue: phase.load(ordering: .relaxed)) ?? .starting,
      step.load(ordering: .relaxed), changes.load(ordering: .relaxed)
    )
  }
}

/// What this rank last exchanged with others, and how much it has done altogether.
public struct RankProgress: Sendable, Equatable {
  /// A number that grows as long as the rank does something.
  public var count: Int
  /// The exchange, for example `MPI_Allreduce`.
  public var call: String
  /// Its bytes on this rank; 0 where they are not known.
  public var callBytes: Int
  /// Whether the rank waits in it.
  public var isInCall: Bool

  /// Names the parts.
  public init(count: Int, call: String = "", callBytes: Int = 0, isInCall: Bool = false) {
    (self.count, self.call, self.callBytes, self.isInCall) = (count, call, callBytes, isInCall)
  }
}

/// Time that passes only while the watching thread runs.
///
/// A thread that did not run, because the process was stopped or the machine slept, has heard nobody for
/// that time, which is nobody's fault: of such a gap only `longest` seconds count.
package struct OwnClock {
  package private(set) var now = 0.0
  private let longest: Double
  private var last: Double

  package init(longest: Double, at time: Double) { (self.longest, last) = (longest, time) }

  /// Goes on to the system's monotonic time `time`.
  package mutating func advance(to time: Double) {
    now += min(max(time - last, 0), longest)
    last = time
  }
}

/// Turns what a rank is doing into what it tells others, with times of its own clock.
struct ActivityReader {
  private let activity: Activity
  private let progress: () -> RankProgress
  private var (changes, phaseStart): (Int, Double) = (-1, 0)
  private var (count, progressTime): (Int, Double) = (-1, 0)

  init(_ activity: Activity, _ progress: @escaping () -> RankProgress) {
    (self.activity, self.progress) = (activity, progress)
  }

  /// What the rank does at that time.
  mutating func read(at now: Double) -> RankState {
    let (current, progress) = (activity.current, progress())
    if current.changes != changes { (changes, phaseStart) = (current.changes, now) }
    let total = progress.count &+ current.changes
    if total != count { (count, progressTime) = (total, now) }
    return RankState(
      phase: current.phase, step: current.step, secondsInPhase: Int(now - phaseStart),
      secondsWithoutProgress: Int(now - progressTime), progress: progress,
      memoryKills: MemoryKills.count)
  }
}
