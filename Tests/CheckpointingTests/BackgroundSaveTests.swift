import Checkpointing
import Files
import Foundation
import Synchronization
import TensorStorage
import Testing

/// Checkpoints that are written while training goes on.
@Suite struct BackgroundSaveTests {
  /// Several frames of values, so that a save can be caught in the middle.
  private let sample = Sample(sizes: [[1], [3_000_000], [63], [900_000]], seed: 5)
  private let limit = Int.max

  /// Stops a save before its n-th write until it may go on.
  private final class Gate: @unchecked Sendable {
    private let arrived = DispatchSemaphore(value: 0)
    private let opened = DispatchSemaphore(value: 0)
    private let writes = Atomic<Int>(0)
    private let stop: Int

    init(beforeWrite stop: Int) { self.stop = stop }

    var hook: FileFaults.Hook {
      { [self] call, path in
        guard call == .write, path.contains("shard-") else { return nil }
        if writes.wrappingAdd(1, ordering: .relaxed).oldValue == stop {
          arrived.signal()
          _ = opened.wait(timeout: .now() + 30)
        }
        return nil
      }
    }

    /// Returns when the save is there; it must have so many writes.
    func waitUntilReached() { #expect(arrived.wait(timeout: .now() + 30) == .success) }
    func open() { opened.signal() }
  }

  private func writer(_ run: TemporaryRun) throws -> CheckpointWriter {
    try CheckpointWriter(run: run.path, runID: "run1", retention: Retention(newest: 9))
  }

  private func shards(_ path: String) throws -> [[UInt8]] {
    try (0..<2).map { try bytes(path + "/shard-0000\($0)-of-00002.safetensors.zst") }
  }

  /// A step may end at any moment of a save: what is stored are the values of its beginning.
  @Test(arguments: [0, 1, 2, 5])
  func whatChangesMeanwhileIsNotStored(_ write: Int) throws {
    let run = try TemporaryRun(inMemory: true)
    let inLine = try TemporaryRun(inMemory: true)
    try inLine.save(sample, step: 3)
    let before = sample.arrays
    let gate = Gate(beforeWrite: write)
    let save = try FileFaults(gate.hook).during {
      try writer(run).begin(
        sample.contents(step: 3), coordination: SingleProcess(shards: 2), inBackground: true)
    }
    gate.waitUntilReached()
    #expect(!save.isWritten)
    save.detach(copyingAtMost: limit)
    for buffer in sample.buffers { buffer.fill(7) }
    gate.open()
    let report = try save.finish()
    #expect(report.path == run.stepPath(3))
    #expect(try readAll(CheckpointReader(path: report.path)) == before)
    #expect(try shards(report.path) == shards(inLine.stepPath(3)))
  }

  /// Where a copy has no room, the step waits until the values are read.
  @Test func withoutRoomForACopyTheCallerWaits() throws {
    let run = try TemporaryRun(inMemory: true)
    let before = sample.arrays
    let gate = Gate(beforeWrite: 1)
    let save = try FileFaults(gate.hook).during {
      try writer(run).begin(
        sample.contents(step: 3), coordination: SingleProcess(shards: 2), inBackground: true)
    }
    gate.waitUntilReached()
    let done = DispatchSemaphore(value: 0)
    nonisolated(unsafe) let (other, buffers) = (save, sample.buffers)
    Thread.detachNewThread {
      other.detach(copyingAtMost: 0)
      for buffer in buffers { buffer.fill(7) }
      done.signal()
    }
    #expect(done.wait(timeout: .now() + 0.05) == .timedOut)
    gate.open()
    #expect(done.wait(timeout: .now() + 30) == .success)
    #expect(try readAll(CheckpointReader(path: save.finish().path)) == before)
  }

  @Test func aFailureInTheBackgroundIsEveryRanks() throws {
    let run = try TemporaryRun(inMemory: true)
    try run.save(sample, step: 10, shards: 3)
    let sample = sample
    let results = onThreads(3) { coordination in
      let writer = try CheckpointWriter(
        run: run.path, runID: "run1", retention: Retention(newest: 1))
      let isBad = coordination.rank == 1
      let save = try FileFaults { call, path in
        isBad && call == .write && path.contains("shard-") ? .fail(ENOSPC) : nil
      }.during {
        try writer.begin(
          sample.contents(step: 20), coordination: coordination, inBackground: true)
      }
      _ = try save.finish()
    }
    #expect(Set(results).count == 1)
    #expect(results[0].contains("step 20 was not saved: rank 1: cannot write"), "\(results[0])")
    #expect(results[0].contains("bytes missing"), "\(results[0])")
    #expect(try run.names() == ["step-00000010"])
    #expect(complaints(run.stepPath(10)) == "")
  }
}
