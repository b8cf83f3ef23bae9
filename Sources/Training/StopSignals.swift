import Foundation
import Synchronization

/// Requests to stop: SIGTERM and SIGUSR1 (Slurm's warning), SIGINT for a terminal.
///
/// The first is honoured at the end of the step, after saving; the second is ignored, so that it
/// cannot hurt the save; the third ends the process at once, and the last checkpoint stays as it is.
public enum StopSignals {
  private static let received = Atomic<Int>(0)
  private static let last = Atomic<Int32>(0)

  /// Signals that ask for a stop.
  public static let watched: [Int32] = [SIGTERM, SIGUSR1, SIGINT]

  /// Starts watching.
  public static func install() {
    for signal in watched {
      var action = sigaction()
      action.__sigaction_handler.sa_handler = { number in
        StopSignals.last.store(number, ordering: .relaxed)
        let count = StopSignals.received.wrappingAdd(1, ordering: .relaxed).newValue
        if count >= 3 { _exit(128 + number) }
      }
      action.sa_flags = SA_RESTART
      sigaction(signal, &action, nil)
    }
  }

  /// Whether this process was asked to stop.
  public static var isRequested: Bool { received.load(ordering: .relaxed) > 0 }

  /// The name of the signal received last.
  public static var name: String {
    switch last.load(ordering: .relaxed) {
    case SIGTERM: "SIGTERM"
    case SIGUSR1: "SIGUSR1"
    case SIGINT: "SIGINT"
    default: "a signal on another rank"
    }
  }
}
