import Foundation
import Synchronization
import Testing
import Watchdog

/// Watches of several ranks in one process, over real connections.
@Suite(.serialized) struct RankWatchTests {
  /// What a watch has told, and the exit code that it would have ended with.
  private final class Ear: Sendable {
    let reports = Mutex<[RankWatch.Report]>([])
    let warnings = Mutex<[String]>([])
    let code = Atomic<Int32>(-1)

    /// Waits for the exit; -1 if there is none within `limit` seconds.
    func exit(within limit: Double) -> Int32 {
      let end = Date() + limit
      while code.load(ordering: .relaxed) < 0, Date() < end { usleep(10_000) }
      return code.load(ordering: .relaxed)
    }
  }

  private struct Rank {
    let ear: Ear
    let activity: Activity
    let watch: RankWatch
  }

  private func start(
    _ rank: Int, of size: Int, _ invitation: WatchInvitation, limit: Double = 1
  ) throws -> Rank {
    let (ear, activity, started) = (Ear(), Activity(), Date())
    activity.enter(.computing, step: 3)
    let options = RankWatch.Options(
      rank: rank, size: size, limit: limit, activity: activity,
      // It goes on and on.
      progress: { RankProgress(count: Int(Date().timeIntervalSince(started) * 1000)) },
      speaks: true,
      warn: { text in ear.warnings.withLock { $0.append(text) } },
      tell: { report in ear.reports.withLock { $0.append(report) } },
      exit: { ear.code.store($0, ordering: .relaxed) })
    return Rank(
      ear: ear, activity: activity, watch: try #require(RankWatch(invitation, options)))
  }

  /// A rank of which the test has the connection in its own hands.
  private func connect(_ invitation: WatchInvitation, _ rank: Int) throws -> Int32 {
    let socket = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
    var address = sockaddr_in()
    address.sin_family = sa_family_t(AF_INET)
    address.sin_port = in_port_t(invitation.port).bigEndian
    address.sin_addr.s_addr = inet_addr("127.0.0.1")
    let code = withUnsafePointer(to: &address) {
      $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
        Glibc.connect(socket, $0, socklen_t(MemoryLayout<sockaddr_in>.size))
      }
    }
    try #require(code == 0)
    var hello = WatchFrame(.hello, invitation.token, rank: rank)
    (hello.text, hello.number) = ("elsewhere", 4711)
    send(hello, on: socket)
    send(WatchFrame(.beat, invitation.token, rank: rank), on: socket)
    return socket
  }

  private func send(_ frame: WatchFrame, on socket: Int32) {
    let bytes = frame.bytes
    #expect(write(socket, bytes, bytes.count) == bytes.count)
  }

  @Test func allRanksGoOnTogetherAndLeaveInSilence() throws {
    let invitation = try #require(WatchInvitation(ranks: 3))
    let sent = try #require(WatchInvitation(invitation.text))
    let ranks = [
      try start(0, of: 3, invitation), try start(1, of: 3, sent), try start(2, of: 3, sent),
    ]
    usleep(2_500_000)
    for rank in ranks { rank.watch.leave() }
    usleep(500_000)
    for rank in ranks {
      #expect(rank.ear.exit(within: 0) == -1)
      #expect(rank.ear.reports.withLock { $0.isEmpty })
    }
  }

  @Test func aSilentRankEndsAllOthers() throws {
    let invitation = try #require(WatchInvitation(ranks: 3))
    let lead = try start(0, of: 3, invitation)
    let other = try start(1, of: 3, try #require(WatchInvitation(invitation.text)))
    lead.activity.hasSaved(2)
    let silent = try connect(invitation, 2)
    defer { close(silent) }
    #expect(lead.ear.exit(within: 10) == 74 && other.ear.exit(within: 2) == 74)
    let report = try #require(lead.ear.reports.withLock { $0.first })
    #expect(report.sentence.hasPrefix("rank 2 on elsewhere (process 4711) has been silent for 1 s"))
    #expect(report.savedStep == 2 && report.step == 3 && report.ranks.count == 3)
    #expect(other.ear.reports.withLock { $0.isEmpty }, "it was told to end, and says nothing")
  }

  @Test func aDeadRankIsSeenAtOnce() throws {
    let invitation = try #require(WatchInvitation(ranks: 2))
    let lead = try start(0, of: 2, invitation, limit: 60)
    let dying = try connect(invitation, 1)
    usleep(300_000)
    let start = Date()
    close(dying)
    #expect(lead.ear.exit(within: 10) == 74)
    #expect(Date().timeIntervalSince(start) < 2)
    #expect(
      lead.ear.reports.withLock { $0.first?.sentence.hasPrefix("rank 1 on elsewhere") } == true)
  }

  @Test func aRankThatMissesTheLeadSaysSo() throws {
    let invitation = try #require(WatchInvitation(ranks: 2))
    let member = try start(1, of: 2, try #require(WatchInvitation(invitation.text)))
    // A lead that says welcome and then nothing.
    var address = sockaddr_storage()
    var length = socklen_t(MemoryLayout<sockaddr_storage>.size)
    var socket: Int32 = -1
    let end = Date() + 5
    while socket < 0, Date() < end {
      socket = withUnsafeMutablePointer(to: &address) {
        $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
          accept(invitation.listener ?? -1, $0, &length)
        }
      }
      usleep(1000)
    }
    try #require(socket >= 0)
    var welcome = WatchFrame(.welcome, invitation.token, rank: 0)
    (welcome.text, welcome.number) = ("away", 12)
    send(welcome, on: socket)
    #expect(member.ear.exit(within: 10) == 74)
    let report = try #require(member.ear.reports.withLock { $0.first })
    #expect(report.sentence.hasPrefix("rank 0 on away (process 12) has been silent for 1 s"))
    #expect(report.sentence.contains("this rank was computing gradients in step 3"))
    close(socket)
  }

  @Test func strangersAreIgnored() throws {
    let invitation = try #require(WatchInvitation(ranks: 2))
    let lead = try start(0, of: 2, invitation)
    let member = try start(1, of: 2, try #require(WatchInvitation(invitation.text)))
    usleep(300_000)
    // Somebody else's program, and a rank of another run.
    let foreign = try #require(WatchInvitation("\(invitation.port) 1 2"))
    let stranger = try connect(foreign, 1)
    defer { close(stranger) }
    let noise = [UInt8](repeating: 0x47, count: 4000)
    _ = Glibc.send(stranger, noise, noise.count, Int32(MSG_NOSIGNAL))
    usleep(1_500_000)
    #expect(lead.ear.exit(within: 0) == -1 && member.ear.exit(within: 0) == -1)
    for rank in [lead, member] { rank.watch.leave() }
  }
}
