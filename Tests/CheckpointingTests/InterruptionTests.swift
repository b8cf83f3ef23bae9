import Checkpointing
import Testing

@Suite struct InterruptionTests {
  @Test func readingCanBeInterruptedBeforeEachShard() throws {
    let run = try TemporaryRun(inMemory: true)
    let sample = Sample(seed: 3)
    try run.save(sample, step: 4, shards: 3)
    try run.save(sample, step: 5, shards: 3)
    for allowed in 0..<3 {
      var left = allowed
      let isInterrupted = {
        left -= 1
        return left < 0
      }
      let interrupted = CheckpointError.interrupted(path: run.stepPath(5))
      // It is no damage for which an older checkpoint would be taken.
      #expect(throws: interrupted) {
        try CheckpointCatalog.latestValid(in: run.path, isInterrupted: isInterrupted)
      }
      left = allowed
      let reader = try CheckpointReader(path: run.stepPath(5))
      reader.isInterrupted = isInterrupted
      #expect(throws: interrupted) { try readAll(reader) }
    }
    #expect(CheckpointError.interrupted(path: "x").exitCode == 75)
  }
}
