import Foundation
import Synchronization

/// Requests to stop: SIGTERM and SIGUSR1 (Slurm's warning), SIGINT for a terminal, SIGHUP when the terminal
/// or the connection is gone, SIGXCPU when processor time is used up.
///
/// The first is honoured at the end of the step, after saving; the second is ignored, so that it
/// cannot hurt the save; the third ends the process at once, and the last checkpoint stays as it is.
/// SIGHUP and SIGXCPU never count as insisting: they are sent again by themselves.
public enum StopSignals {
  private static let received = Atomic<Int>(0)
  private static let insisting = Atomic<Int>(0)
  private static let last = Atomic<Int32>(0)

  /// Signals that ask for a stop.
  public static let watched: [Int32] = [SIGTERM, SIGUSR1, SIGINT, SIGHUP, SIGXCPU]

  /// Starts watching, and lets writing to a pipe that nobody reads, or beyond the largest file allowed,
  /// fail instead of ending the process.
  public static func install() {
    signal(SIGPIPE, SIG_IGN)
    signal(SIGXFSZ, SIG_IGN)
    for number in watched {
      var action = sigaction()
      // `nohup` asks for the hangup to be ignored.
      if number == SIGHUP, sigaction(number, nil, &action) == 0, isIgnored(action) { continue }
      action = sigaction()
      action.__sigaction_handler.sa_handler = { number in
        StopSignals.last.store(number, ordering: .relaxed)
        StopSignals.received.wrappingAdd(1, ordering: .relaxed)
        guard number != SIGHUP, number != SIGXCPU else { return }
        let count = StopSignals.insisting.wrappingAdd(1, ordering: .relaxed).newValue
        if count >= 3 { _exit(128 + number) }
      }
      action.sa_flags = SA_RESTART
      sigaction(number, &action, nil)
    }
  }

  private static func isIgnored(_ action: sigaction) -> Bool {
    unsafeBitCast(action.__sigaction_handler.sa_handler, to: Int.self)
      == unsafeBitCast(SIG_IGN, to: Int.self)
  }

  /// Whether this process was asked to stop.
  public static var isRequested: Bool { received.load(ordering: .relaxed) > 0 }

  /// The name of the signal received last.
  public static var name: String {
    switch last.load(ordering: .relaxed) {
    case SIGTERM: "SIGTERM"
    case SIGUSR1: "SIGUSR1"
    case SIGINT: "SIGINT"
    case SIGHUP: "SIGHUP"
    case SIGXCPU: "SIGXCPU"
    default: "a signal on another rank"
    }
  }
}

/// A run was asked to stop before its first step: there is nothing to save.
public struct StoppedBeforeTraining: Error {}
