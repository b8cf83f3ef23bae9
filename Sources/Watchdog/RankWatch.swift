import Foundation
import Synchronization
import Threads

/// Watches over the ranks of a run, on a thread of its own that neither computes nor calls MPI.
///
/// Every rank keeps a TCP connection to the lead, on which both say a few times a minute that they are
/// there and what they are doing. A process that dies closes its connection; one that is stopped, or whose
/// host is cut off, is silent. The lead then says who, where, in which phase, and ends the run; a rank that
/// does not hear the lead ends itself.
public final class RankWatch: Sendable {
  /// What a watch needs to know.
  public struct Options {
    /// This rank's number; 0 leads.
    public var rank: Int
    /// Ranks of the run.
    public var size: Int
    /// Seconds of silence that are too long.
    public var limit: Double
    /// What this rank does.
    public var activity: Activity
    /// What it exchanged last and how much it has done; called on the watching thread.
    public var progress: () -> RankProgress
    /// Whether this rank says why it ends when the lead is gone: one of each host does.
    public var speaks: Bool
    /// Called on the watching thread with what has to be known but ends nothing.
    public var warn: (String) -> Void
    /// Called on the watching thread when the run has to end: says so, where there is something to say.
    public var tell: (Report) -> Void
    /// Ends the process, with that code.
    public var exit: (Int32) -> Void

    /// Names the parts.
    public init(
      rank: Int, size: Int, limit: Double, activity: Activity,
      progress: @escaping () -> RankProgress,
      speaks: Bool, warn: @escaping (String) -> Void, tell: @escaping (Report) -> Void,
      exit: @escaping (Int32) -> Void
    ) {
      (self.rank, self.size, self.limit, self.activity) = (rank, size, limit, activity)
      (self.progress, self.speaks, self.warn) = (progress, speaks, warn)
      (self.tell, self.exit) = (tell, exit)
    }
  }

  /// Why the run ends.
  public struct Report: Sendable {
    /// What has happened, without a full stop.
    public var sentence: String
    /// The step that was under way on this rank.
    public var step: Int
    /// The step that was saved last, if this start saved or read one.
    public var savedStep: Int?
    /// A line for each rank; empty where only the lead is missed.
    public var ranks: [String]
    /// Whether a host may be cut off, for which a launcher would wait.
    public var isOutOfReach: Bool
    /// The exit code: 74 for ranks that are lost, 70 for a hang.
    public var exitCode: Int32
  }

  private let peers: WatchPeers

  /// Starts the thread; nil if the system starts none.
  ///
  /// - Parameters:
  ///   - invitation: the lead's own, or what a rank was sent.
  ///   - options: what it needs to know; used on the thread from now on.
  public init?(_ invitation: WatchInvitation, _ options: Options) {
    peers = WatchPeers(count: options.rank == 0 ? options.size : 1, invitation.token, options.rank)
    let peers = peers
    let isStarted = startThread {
      if options.rank == 0 {
        var lead = LeadWatch(invitation, options, peers)
        lead.run()
      } else {
        var member = MemberWatch(invitation, options, peers)
        member.run()
      }
    }
    guard isStarted else { return nil }
  }

  /// This machine's name.
  public static var hostName: String { watchHostName }

  /// Whether another rank has said that it ends the run, and why.
  public var isEnding: Bool { peers.isEnding }

  /// Says to the others that this rank ends, and stops watching.
  ///
  /// May be called from a signal handler.
  ///
  /// - Parameter endingAll: whether the whole run ends with it, for a reason that has been told.
  public func leave(endingAll: Bool = false) { peers.say(endingAll ? .abort : .leave) }
}

/// Seconds of the system's monotonic clock, which stands still while the machine sleeps.
func monotonicSeconds() -> Double { Double(DispatchTime.now().uptimeNanoseconds) * 1e-9 }

/// The open connections, for a last word from any thread or signal handler.
final class WatchPeers: @unchecked Sendable {
  private let sockets: UnsafeMutablePointer<Atomic<Int32>>
  private let count: Int
  private let hasSpoken = Atomic<Bool>(false)
  private let leave: UnsafeMutableRawBufferPointer
  private let abort: UnsafeMutableRawBufferPointer

  init(count: Int, _ token: WatchToken, _ rank: Int) {
    self.count = count
    sockets = .allocate(capacity: count)
    for index in 0..<count { (sockets + index).initialize(to: Atomic(-1)) }
    func word(_ kind: WatchFrame.Kind) -> UnsafeMutableRawBufferPointer {
      let bytes = WatchFrame(kind, token, rank: rank).bytes
      let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: bytes.count, alignment: 8)
      buffer.copyBytes(from: bytes)
      return buffer
    }
    (leave, abort) = (word(.leave), word(.abort))
  }

  // Its memory stays: a signal may come at any time.

  /// Whether this rank has said its last word.
  var isDone: Bool { hasSpoken.load(ordering: .relaxed) }

  private let ending = Atomic<Bool>(false)

  /// Whether another rank ends the run.
  var isEnding: Bool { ending.load(ordering: .relaxed) }

  /// Notes that another rank ends the run.
  func noteEnd() { ending.store(true, ordering: .relaxed) }

  /// Notes a connection, or with nil that it is closed.
  func set(_ index: Int, _ socket: Int32?) {
    sockets[index].store(socket ?? -1, ordering: .relaxed)
  }

  /// Sends a last word to all.
  func say(_ kind: WatchFrame.Kind) {
    hasSpoken.store(true, ordering: .relaxed)
    let bytes = kind == .abort ? abort : leave
    for index in 0..<count {
      let socket = sockets[index].load(ordering: .relaxed)
      if socket >= 0 {
        _ = send(socket, bytes.baseAddress, bytes.count, Int32(MSG_NOSIGNAL))
      }
    }
  }
}
