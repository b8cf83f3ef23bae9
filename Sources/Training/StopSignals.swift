import Foundation
import Synchronization

/// Signals that ask this process to stop: SIGTERM and SIGUSR1 (Slurm's warning), SIGUSR2, SIGINT and SIGQUIT
/// of a terminal, SIGHUP when the terminal or the connection is gone, SIGXCPU when processor time is used up.
///
/// The first is honoured within a segment, after saving; the second is ignored, so that it cannot hurt
/// the save; the third ends the process at once, and the last checkpoint stays as it is. A second SIGINT
/// does so already: somebody sits at a terminal. SIGHUP and SIGXCPU never count as insisting: they are sent
/// again by themselves.
public enum StopSignals {
  private static let last = Atomic<Int32>(0)
  private static let insisting = Atomic<Int>(0)
  private static let interrupts = Atomic<Int>(0)

  /// Signals that ask for a stop.
  public static let watched: [Int32] = [
    SIGTERM, SIGUSR1, SIGUSR2, SIGINT, SIGQUIT, SIGHUP, SIGXCPU,
  ]

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
      action.__sigaction_handler.sa_handler = { StopSignals.receive($0) }
      action.sa_flags = SA_RESTART
      sigaction(number, &action, nil)
    }
  }

  /// Stops watching: signals do what they do to any program, those received meanwhile too.
  public static func remove() {
    signal(SIGPIPE, SIG_DFL)
    signal(SIGXFSZ, SIG_DFL)
    for number in watched {
      var action = sigaction()
      guard sigaction(number, nil, &action) == 0, !isIgnored(action) else { continue }
      signal(number, SIG_DFL)
    }
    if let received { raise(received) }
  }

  private static func receive(_ number: Int32) {
    last.store(number, ordering: .relaxed)
    guard number != SIGHUP, number != SIGXCPU else { return }
    let count = insisting.wrappingAdd(1, ordering: .relaxed).newValue
    let again =
      number == SIGINT && interrupts.wrappingAdd(1, ordering: .relaxed).newValue == 2
    if count >= 3 || again { _exit(128 + number) }
  }

  private static func isIgnored(_ action: sigaction) -> Bool {
    unsafeBitCast(action.__sigaction_handler.sa_handler, to: Int.self)
      == unsafeBitCast(SIG_IGN, to: Int.self)
  }

  /// The signal that came last; nil if this process was not asked to stop.
  public static var received: Int32? {
    let number = last.load(ordering: .relaxed)
    return number == 0 ? nil : number
  }

  /// A signal's name.
  static func name(_ number: Int32) -> String {
    switch number {
    case SIGTERM: "SIGTERM"
    case SIGUSR1: "SIGUSR1"
    case SIGUSR2: "SIGUSR2"
    case SIGINT: "SIGINT"
    case SIGQUIT: "SIGQUIT"
    case SIGHUP: "SIGHUP"
    case SIGXCPU: "SIGXCPU"
    default: "signal \(number)"
    }
  }
}

/// A run was asked to stop before its first step: there is nothing to save.
public struct StoppedBeforeTraining: Error {}
