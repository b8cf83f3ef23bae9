import ChildPrograms
import Foundation
import Testing

extension DistributedTests {
  /// Deaths without warning.
  @Suite("crash recovery")
  struct CrashRecoveryTests {
    /// Many steps, a save after every second one: a kill finds the run in a step or in a save.
    private static let settings = [
      "train.steps=40", "data.sequence_length=96", "train.segment_length=96", "checkpoint.every=2",
    ]

    @Test("killed again and again, a run ends with the bits of an undisturbed one")
    func kills() throws {
      let job = try TrainingJob(Self.settings)
      let reference = try job.finish(.ranks(2), run: "whole")
      #expect(reference.rows.count == 40)
      let launches: [TrainingJob.Launch] = [.ranks(2), .alone, .ranks(3), .ranks(4)]
      var random = SystemRandomNumberGenerator()
      var kills = 0
      while kills < 8 {
        let launch = launches[kills % launches.count]
        let before = job.rows("killed").last
        let process = try job.start(launch, run: "killed")
        // Somewhere in the next few steps after the first new one.
        process.wait { job.rows("killed").last != before }
        usleep(UInt32.random(in: 0..<60_000, using: &random))
        if process.hasEnded { break }
        process.end()
        kills += 1
        let steps = job.rows("killed").compactMap { $0.split(separator: ",").first }
        #expect(Set(steps).count == steps.count, "a step twice: \(steps)")
      }
      #expect(kills >= 4, "the run ended after \(kills) kills: too fast to test")
      #expect(try job.finish(.ranks(2), run: "killed") == reference)
      let names = try job.checkpoints("killed")
      #expect(names == ["step-00000038", "step-00000040"], "leftovers: \(names)")
    }

    @Test("when one rank dies, the job ends within ten seconds and can go on")
    func oneRank() throws {
      let job = try TrainingJob(Self.settings)
      let reference = try job.finish(.alone, run: "whole")
      let process = try job.start(.ranks(4), run: "run")
      process.wait { job.rows("run").count >= 3 }
      let ranks = process.children
      #expect(ranks.count == 4)
      kill(try #require(ranks.dropFirst().first), SIGKILL)
      let start = Date()
      let result = process.wait(limit: 30)
      #expect(Date().timeIntervalSince(start) < 10)
      #expect(result.code != 0)
      let deadline = Date() + 5
      while ranks.contains(where: ChildProcess.isRunning), Date() < deadline { usleep(10_000) }
      for rank in ranks { #expect(!ChildProcess.isRunning(rank), "rank \(rank) lives on") }
      #expect(try job.finish(.ranks(3), run: "run") == reference)
    }
  }
}
