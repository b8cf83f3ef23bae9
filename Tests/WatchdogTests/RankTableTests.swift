import Testing
import Watchdog

/// What the lead concludes, without sockets and without waiting.
@Suite struct RankTableTests {
  private let token = WatchToken.random()

  /// A table of ranks that have all been heard at time 0, two a host.
  private func table(_ size: Int = 4) -> RankTable {
    var table = RankTable(size: size, limit: 10)
    for rank in 0..<size {
      var hello = WatchFrame(.hello, token, rank: rank)
      (hello.text, hello.number) = ("host\(rank / 2)", 100 + rank)
      table.hear(hello, at: 0)
      table.hear(WatchFrame(.beat, token, rank: rank), at: 0)
    }
    return table
  }

  private func beat(_ rank: Int, _ change: (inout RankState) -> Void = { _ in }) -> WatchFrame {
    var frame = WatchFrame(.beat, token, rank: rank)
    change(&frame.state)
    return frame
  }

  @Test func aRankThatIsSilentTooLongIsNamed() {
    var table = table()
    for rank in [0, 1, 3] { table.hear(beat(rank), at: 9) }
    #expect(table.verdict(at: 9.9) == nil)
    table.hear(
      beat(2) {
        ($0.phase, $0.step, $0.secondsInPhase) = (.computing, 7, 3)
        $0.progress = RankProgress(count: 1, call: "MPI_Allreduce", callBytes: 64, isInCall: true)
      }, at: 9.95)
    for rank in [0, 1, 3] { table.hear(beat(rank), at: 19) }
    #expect(table.verdict(at: 19.9) == nil)
    #expect(table.verdict(at: 20) == .silent(rank: 2, seconds: 10))
    #expect(
      table.sentence(.silent(rank: 2, seconds: 10))
        == "rank 2 on host1 (process 102) has been silent for 10 s; last known: computing gradients "
        + "in step 7 for 3 s, waiting in MPI_Allreduce of 64 bytes")
  }

  @Test func aRankThatEndsWithoutAWordIsNamedAfterAMoment() {
    var table = table()
    table.lose(3, at: 5)
    #expect(table.verdict(at: 5.1) == nil)
    #expect(table.verdict(at: 5.4) == .ended(rank: 3))
    #expect(table.sentence(.ended(rank: 3)).hasPrefix("rank 3 on host1 (process 103) ended"))
    #expect(!table.sentence(.ended(rank: 3)).contains("memory"))
    // A rank on the same host tells that its kernel has killed something; one elsewhere does not count.
    table.hear(beat(1) { $0.memoryKills = 1 }, at: 5.4)
    #expect(!table.sentence(.ended(rank: 3)).contains("memory"))
    table.hear(beat(2) { $0.memoryKills = 1 }, at: 5.4)
    #expect(table.sentence(.ended(rank: 3)).contains("lack of memory"))
  }

  @Test func whoLeavesWithAWordIsNotMissed() {
    var table = table()
    table.hear(WatchFrame(.leave, token, rank: 3), at: 1)
    table.lose(3, at: 1)
    for rank in 0..<3 { table.hear(beat(rank), at: 99) }
    #expect(table.verdict(at: 100) == nil)
    // A rank that ends everybody has said why; the others' ends follow from it.
    table.hear(WatchFrame(.abort, token, rank: 1), at: 100)
    table.lose(2, at: 100)
    #expect(table.verdict(at: 200) == nil && table.isEnding)
  }

  @Test func whoWasNeverHeardIsNotMissed() {
    var table = RankTable(size: 3, limit: 10)
    table.hear(beat(0), at: 0)
    table.hear(beat(2), at: 0)
    table.lose(1, at: 0)
    table.hear(beat(0), at: 50)
    table.hear(beat(2), at: 50)
    #expect(table.verdict(at: 50) == nil && table.unknown == [1])
  }

  @Test func aHangIsWhenNobodyMakesProgressInAStep() {
    func table(idle: [Int], phases: [RunPhase]) -> RankTable {
      var table = self.table(idle.count)
      for rank in idle.indices {
        table.hear(
          beat(rank) {
            ($0.phase, $0.step, $0.secondsWithoutProgress) = (phases[rank], 5, idle[rank])
            $0.progress = RankProgress(
              count: 9, call: rank == 1 ? "MPI_Allgather" : "MPI_Allreduce", callBytes: 8,
              isInCall: true)
          }, at: 100)
      }
      return table
    }
    let computing = [RunPhase](repeating: .computing, count: 3)
    #expect(table(idle: [40, 40, 39], phases: computing).verdict(at: 100) == nil)
    let hanging = table(idle: [41, 40, 300], phases: computing)
    #expect(hanging.verdict(at: 100) == .hang(seconds: 40))
    #expect(
      hanging.sentence(.hang(seconds: 40))
        == "no rank has made progress for 40 s: rank 1 on host0 (process 101) waits in MPI_Allgather "
        + "of 8 bytes in step 5, 2 ranks: waits in MPI_Allreduce of 8 bytes in step 5")
    // A disk may take as long as it wants.
    #expect(
      table(idle: [90, 90, 90], phases: [.computing, .saving, .computing]).verdict(at: 100) == nil)
  }

  @Test func whileTheThreadDoesNotRunItsClockStands() {
    var clock = OwnClock(longest: 1, at: 500)
    clock.advance(to: 500.5)
    #expect(clock.now == 0.5)
    // Stopped for an hour, continued, and beating again.
    clock.advance(to: 4100)
    #expect(clock.now == 1.5)
    clock.advance(to: 4100.25)
    #expect(clock.now == 1.75)
    clock.advance(to: 4000)
    #expect(clock.now == 1.75)
  }

  @Test func framesTravelUnchangedAndNothingElseIsOne() throws {
    var frame = beat(3) {
      ($0.phase, $0.step, $0.secondsInPhase, $0.secondsWithoutProgress) = (.updating, 9, 7, 5)
      ($0.progress, $0.memoryKills) = (
        RankProgress(count: -1, call: "MPI_Iallgatherv", callBytes: 1 << 40, isInCall: true), 2
      )
    }
    frame.number = -74
    #expect(frame.bytes.count == WatchFrame.byteCount)
    #expect(WatchFrame(frame.bytes) == frame)
    var hello = WatchFrame(.hello, token, rank: 1)
    hello.text = String(repeating: "h", count: 64)
    #expect(WatchFrame(hello.bytes) == hello)
    var random = SystemRandomNumberGenerator()
    for _ in 0..<1000 {
      var bytes = frame.bytes
      bytes[Int.random(in: 0..<8, using: &random)] ^= 1
      #expect(WatchFrame(bytes) == nil)
      _ = WatchFrame(
        (0..<WatchFrame.byteCount).map { $0 < 8 ? frame.bytes[$0] : .random(in: 0...255) })
    }
    #expect(WatchFrame(frame.bytes.dropLast()) == nil)
  }
}
