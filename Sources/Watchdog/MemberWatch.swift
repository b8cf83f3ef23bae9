import Foundation

/// The watch of any rank but the first, to which it is connected.
struct MemberWatch {
  private let options: RankWatch.Options
  private let peers: WatchPeers
  private let invitation: WatchInvitation
  private var reader: ActivityReader
  private var clock: OwnClock
  private var lead = "rank 0"
  private var nextBeat = 0.0
  private var heard = 0.0

  /// Seconds to wait for an address to answer.
  private static let addressLimit = 2.0

  init(_ invitation: WatchInvitation, _ options: RankWatch.Options, _ peers: WatchPeers) {
    self.invitation = invitation
    self.options = options
    self.peers = peers
    reader = ActivityReader(options.activity, options.progress)
    clock = OwnClock(longest: 1, at: monotonicSeconds())
  }

  mutating func run() {
    // Nobody watches who is never reached; the lead warns of that.
    guard var connection = connect() else { return }
    heard = clock.now
    while !peers.isDone {
      if clock.now >= nextBeat { beat(connection.socket) }
      let limit = min(0.25, max(0, nextBeat - clock.now))
      let isReady = !WatchSocket.wait(for: [connection.socket], Int16(POLLIN), limit).isEmpty
      clock.advance(to: monotonicSeconds())
      if isReady {
        let (frames, isOpen) = connection.receive()
        for frame in frames where frame.token == invitation.token {
          if !take(frame, connection.socket) { return }
        }
        if !isOpen { return leadIsGone() }
      }
      if clock.now - heard >= options.limit {
        // Should the lead come back, it knows that this end was meant.
        WatchSocket.send(
          WatchFrame(.abort, invitation.token, rank: options.rank), to: connection.socket)
        return end("\(lead) has been silent for \(Int(clock.now - heard)) s")
      }
    }
  }

  /// A connection on which the lead has answered; nil if it cannot be reached.
  private mutating func connect() -> WatchConnection? {
    for _ in 0..<3 {
      for address in invitation.addresses where !peers.isDone {
        guard
          let socket = WatchSocket.connect(
            to: address, port: invitation.port, limit: Self.addressLimit)
        else { continue }
        var connection = WatchConnection(socket, since: clock.now)
        if isWelcome(&connection) {
          peers.set(0, socket)
          return connection
        }
        close(socket)
      }
      usleep(200_000)
    }
    return nil
  }

  /// Whether it is the lead that listens there.
  private mutating func isWelcome(_ connection: inout WatchConnection) -> Bool {
    var hello = WatchFrame(.hello, invitation.token, rank: options.rank)
    (hello.text, hello.number) = (watchHostName, Int(getpid()))
    WatchSocket.send(hello, to: connection.socket)
    let end = monotonicSeconds() + Self.addressLimit
    while true {
      let left = end - monotonicSeconds()
      guard left > 0 else { return false }
      _ = WatchSocket.wait(for: [connection.socket], Int16(POLLIN), left)
      clock.advance(to: monotonicSeconds())
      let (frames, isOpen) = connection.receive()
      if let frame = frames.first(where: { $0.kind == .welcome && $0.token == invitation.token }) {
        lead = "rank 0 on \(frame.text) (process \(frame.number))"
        return true
      }
      if !isOpen { return false }
    }
  }

  /// Whether to go on after a message of the lead.
  private mutating func take(_ frame: WatchFrame, _ socket: Int32) -> Bool {
    heard = clock.now
    switch frame.kind {
    case .report: beat(socket)
    case .end:
      options.exit(Int32(truncatingIfNeeded: frame.number))
      return false
    case .abort:
      peers.noteEnd()
      return false
    case .leave: return false
    case .hello, .welcome, .beat: break
    }
    return true
  }

  private mutating func beat(_ socket: Int32) {
    nextBeat = clock.now + min(1, options.limit / 4)
    var frame = WatchFrame(.beat, invitation.token, rank: options.rank)
    frame.state = reader.read(at: clock.now)
    WatchSocket.send(frame, to: socket)
  }

  private mutating func leadIsGone() {
    // When everybody is being ended, so is this rank.
    usleep(UInt32(RankTable.grace * 1e6))
    if !peers.isDone { end("\(lead) ended without a word") }
  }

  private mutating func end(_ sentence: String) {
    let state = reader.read(at: clock.now)
    if options.speaks {
      options.tell(
        RankWatch.Report(
          sentence: "\(sentence); this rank was \(state.sentence)", step: state.step,
          savedStep: options.activity.savedStep, ranks: [], isOutOfReach: true, exitCode: 74))
    } else {
      // Whoever speaks for this host goes first.
      usleep(200_000)
    }
    options.exit(74)
  }
}
