import Foundation
import Threads

/// The watch of rank 0, to which all others are connected.
struct LeadWatch {
  private let options: RankWatch.Options
  private let peers: WatchPeers
  private let token: WatchToken
  private let listener: Int32
  private var table: RankTable
  private var reader: ActivityReader
  private var clock: OwnClock
  private var connections: [WatchConnection] = []
  private var nextBeat = 0.0
  private var hasWarned = false

  /// Seconds until a rank that has not connected counts as one that cannot be watched.
  static let patience = 30.0
  /// Seconds within which a connection must name its rank, and connections that have not at one time.
  private static let helloLimit = 5.0
  private static let mostStrangers = 1024

  init(_ invitation: WatchInvitation, _ options: RankWatch.Options, _ peers: WatchPeers) {
    self.options = options
    self.peers = peers
    token = invitation.token
    listener = invitation.listener ?? -1
    table = RankTable(size: options.size, limit: options.limit)
    reader = ActivityReader(options.activity, options.progress)
    clock = OwnClock(longest: 1, at: monotonicSeconds())
  }

  mutating func run() {
    var hello = WatchFrame(.hello, token, rank: 0)
    (hello.text, hello.number) = (watchHostName, Int(getpid()))
    table.hear(hello, at: 0)
    while !peers.isDone, !table.isEnding {
      listen(for: min(0.25, max(0, nextBeat - clock.now)))
      if clock.now >= nextBeat { beat() }
      warnOfStrangers()
      if table.verdict(at: clock.now) != nil, !peers.isDone {
        // With what the others do now.
        send(.report)
        for _ in 0..<3 { listen(for: 0.1) }
        beat()
        if let verdict = table.verdict(at: clock.now), !peers.isDone { return end(verdict) }
      }
    }
    guard table.isEnding else { return }
    peers.noteEnd()
    send(.abort)
  }

  /// Takes in what arrives within `limit` seconds.
  private mutating func listen(for limit: Double) {
    let sockets = [listener] + connections.map(\.socket)
    let ready = WatchSocket.wait(for: sockets, Int16(POLLIN), limit)
    clock.advance(to: monotonicSeconds())
    if ready.contains(listener) { accept() }
    for index in connections.indices.reversed() where ready.contains(connections[index].socket) {
      let (frames, isOpen) = connections[index].receive()
      let isOurs = frames.allSatisfy { take($0, from: index) }
      if !isOpen || !isOurs { close(index) }
    }
    for index in connections.indices.reversed()
    where connections[index].rank == nil
      && clock.now - connections[index].since > Self.helloLimit
    { close(index) }
  }

  private mutating func accept() {
    while let socket = WatchSocket.accept(listener) {
      guard connections.count < options.size + Self.mostStrangers else {
        Glibc.close(socket)
        return
      }
      connections.append(WatchConnection(socket, since: clock.now))
    }
  }

  /// Whether the frame is one of this run.
  private mutating func take(_ frame: WatchFrame, from index: Int) -> Bool {
    guard frame.token == token, (1..<options.size).contains(frame.rank),
      connections[index].rank ?? frame.rank == frame.rank
    else { return false }
    if frame.kind == .hello {
      connections[index].rank = frame.rank
      peers.set(frame.rank, connections[index].socket)
      var welcome = WatchFrame(.welcome, token, rank: 0)
      (welcome.text, welcome.number) = (watchHostName, Int(getpid()))
      WatchSocket.send(welcome, to: connections[index].socket)
    }
    table.hear(frame, at: clock.now)
    return true
  }

  private mutating func close(_ index: Int) {
    let connection = connections.remove(at: index)
    if let rank = connection.rank {
      peers.set(rank, nil)
      table.lose(rank, at: clock.now)
    }
    Glibc.close(connection.socket)
  }

  private mutating func beat() {
    nextBeat = clock.now + min(1, options.limit / 4)
    var frame = WatchFrame(.beat, token, rank: 0)
    frame.state = reader.read(at: clock.now)
    table.hear(frame, at: clock.now)
    send(.beat)
  }

  private func send(_ kind: WatchFrame.Kind, number: Int = 0) {
    var frame = WatchFrame(kind, token, rank: 0)
    frame.number = number
    for connection in connections where connection.rank != nil {
      WatchSocket.send(frame, to: connection.socket)
    }
  }

  private mutating func warnOfStrangers() {
    guard !hasWarned, clock.now > Self.patience else { return }
    hasWarned = true
    let unknown = table.unknown.map { "\($0)" }
    guard !unknown.isEmpty else { return }
    options.warn(
      "rank\(unknown.count == 1 ? "" : "s") \(unknown.joined(separator: ", ")) cannot be watched: no "
        + "TCP connection to the first rank's host; if one hangs, nobody notices")
  }

  private func end(_ verdict: RankTable.Verdict) {
    let code: Int32 = if case .hang = verdict { 70 } else { 74 }
    let isOutOfReach = if case .silent = verdict { true } else { false }
    // A file system that does not answer must not keep the run alive.
    _ = startThread { [self] in
      sleep(5)
      send(.end, number: Int(code))
      options.exit(code)
    }
    options.tell(
      RankWatch.Report(
        sentence: table.sentence(verdict), step: options.activity.current.step,
        savedStep: options.activity.savedStep, ranks: table.lines(at: clock.now),
        isOutOfReach: isOutOfReach, exitCode: code))
    send(.end, number: Int(code))
    options.exit(code)
  }
}

/// This machine's name.
let watchHostName: String = withUnsafeTemporaryAllocation(of: CChar.self, capacity: 256) {
  guard let base = $0.baseAddress, gethostname(base, 255) == 0 else { return "unknown" }
  base[255] = 0
  return String(cString: base)
}
