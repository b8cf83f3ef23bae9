import Checkpointing
import Foundation
import TensorStorage
import Testing

@Suite struct RetentionTests {
  private let sample = Sample(sizes: [[40]], seed: 1)

  @Test func keepsTheNewest() throws {
    let run = try TemporaryRun()
    var pruned: [Int] = []
    for step in 1...5 { pruned += try run.save(sample, step: step, keep: 2).prunedSteps }
    #expect(pruned == [1, 2, 3])
    #expect(try CheckpointCatalog.entries(in: run.path).map(\.step) == [5, 4])
  }

  @Test func everyNthStaysForGood() throws {
    let run = try TemporaryRun()
    let writer = try CheckpointWriter(
      run: run.path, runID: "run1", retention: Retention(newest: 2, every: 4))
    for step in 1...11 { _ = try writer.save(sample.contents(step: step)) }
    #expect(try CheckpointCatalog.entries(in: run.path).map(\.step) == [11, 10, 8, 4])
  }

  /// Going on from an older step keeps the newer ones, under names that do not count.
  @Test func newerOnesAreKeptAside() throws {
    let run = try TemporaryRun()
    for round in 1...2 {
      for step in [10, 20, 30] { try run.save(sample, step: step) }
      let paths = try CheckpointCatalog.setAside(newerThan: 10, in: run.path)
      #expect(paths == [30, 20].map { run.stepPath($0) + ".aside-\(round)" })
      #expect(try CheckpointCatalog.entries(in: run.path).map(\.step) == [10])
    }
    try run.save(sample, step: 15, keep: 1)
    #expect(
      try run.names() == [
        "step-00000015", "step-00000020.aside-1", "step-00000020.aside-2",
        "step-00000030.aside-1", "step-00000030.aside-2",
      ])
    #expect(complaints(run.stepPath(30) + ".aside-2") == "")
  }

  @Test func owners() throws {
    let run = try TemporaryRun()
    try run.save(sample, step: 1, runID: "a")
    try run.save(sample, step: 2, runID: "b")
    try write([1], run.stepPath(1) + "/manifest.json")
    #expect(try CheckpointCatalog.owners(in: run.path).map(\.runID) == ["b"])
  }

  /// Going back to an older step must not remove what is saved from there on.
  @Test func neverPrunesWhatWasJustSaved() throws {
    let run = try TemporaryRun()
    for step in [10, 20, 30] { try run.save(sample, step: step) }
    #expect(try run.save(sample, step: 15, keep: 1).prunedSteps == [10, 20, 30])
    #expect(try CheckpointCatalog.entries(in: run.path).map(\.step) == [15])
  }

  /// A damaged checkpoint is not one of those that are kept, wherever training goes on from.
  @Test func damagedOnesDoNotCount() throws {
    let run = try TemporaryRun()
    for step in [1000, 2000, 3000] { try run.save(sample, step: step) }
    let shard = run.stepPath(3000) + "/shard-00000-of-00002.safetensors.zst"
    try write([1, 2, 3], shard)
    let selection = try CheckpointCatalog.latestValid(in: run.path)
    #expect(selection.reader?.manifest.step == 2000)
    try CheckpointCatalog.setAside(selection.rejected, in: run.path)
    #expect(try run.save(sample, step: 2500, keep: 2).prunedSteps == [1000])
    #expect(try CheckpointCatalog.entries(in: run.path).map(\.step) == [2500, 2000])
    let damaged = run.stepPath(3000) + ".damaged"
    #expect(try run.names().contains("step-00003000.damaged"))
    #expect(complaints(damaged).contains("shard-00000-of-00002"))
    try run.save(sample, step: 3000, keep: 2)
    #expect(try CheckpointCatalog.entries(in: run.path).map(\.step) == [3000, 2500])
    #expect(complaints(run.stepPath(3000)) == "")
  }

  @Test func leavesOtherRunsAndOtherFilesAlone() throws {
    let run = try TemporaryRun()
    try run.save(sample, step: 1)
    let foreign = ["step-00000007.partial-run2", "notes", "step-7", "step-00000009.tmp"]
    for name in foreign {
      try FileManager.default.createDirectory(
        atPath: run.checkpoints + "/" + name, withIntermediateDirectories: true)
    }
    let own = ["step-00000007.partial-run1", "step-00000003.deleting"]
    for name in own {
      let path = run.checkpoints + "/" + name
      try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true)
      try write([1, 2, 3], path + "/shard-00000-of-00001.safetensors.zst")
    }
    try run.save(sample, step: 8)
    #expect(try run.names() == (foreign + ["step-00000001", "step-00000008"]).sorted())
  }

  @Test func aFailedRemovalIsOnlyAWarning() throws {
    let run = try TemporaryRun()
    try run.save(sample, step: 1)
    let report = try run.save(sample, step: 2, keep: 1) { operation, path in
      operation == .rename && path.hasSuffix("step-00000001") ? .fail(EACCES) : nil
    }
    #expect(report.prunedSteps == [])
    #expect(report.warnings.count == 1)
    #expect(complaints(run.stepPath(2)) == "")
  }

  @Test func refusesImpossibleRequests() throws {
    let run = try TemporaryRun()
    for runID in ["", "a/b", "a.b", String(repeating: "x", count: 65)] {
      #expect(throws: CheckpointError.self) { try run.save(sample, step: 1, runID: runID) }
    }
    #expect(throws: CheckpointError.self) { try run.save(sample, step: -1) }
    let short = CheckpointStore("parameters", FloatBuffer(count: 16))
    let cut = CheckpointContents(
      step: 1, layout: sample.layout, stores: [short], training: .null,
      creation: CheckpointCreation(host: "here", ranks: 1), grain: Sample.grain)
    let writer = try CheckpointWriter(run: run.path, runID: "r", retention: Retention(newest: 1))
    let text = message { try writer.save(cut) }
    #expect(text.contains("store parameters: holds elements 0..<16, shard 0 needs 0..<48"))
    let missing = message {
      try CheckpointWriter(run: "/nowhere", runID: "r", retention: Retention(newest: 1)).save(
        sample.contents(step: 1))
    }
    #expect(missing.contains("/nowhere/checkpoints: No such file or directory"))
  }
}
