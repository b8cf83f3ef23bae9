import Checkpointing
import Files
import Foundation
import Testing

/// How often the file system was called.
private final class Counter {
  var calls = 0
}

/// A save that something happens to.
enum Scenario: CaseIterable, Sendable {
  case first
  case second
  case pruning
  case sameStep
  case sameStepWithoutExchange
  case afterAnInterruption

  /// The step that is saved while things go wrong.
  var step: Int { self == .sameStep || self == .sameStepWithoutExchange ? 10 : 20 }
  var keep: Int { self == .pruning ? 1 : 3 }
  var hasPredecessor: Bool { self != .first }
}

@Suite struct CrashTests {
  private let old = Sample(sizes: [[70], [5, 5]], seed: 1)
  private let new = Sample(sizes: [[70], [5, 5]], seed: 2)

  /// A run as it is before the save of `scenario`.
  private func prepared(_ scenario: Scenario) throws -> TemporaryRun {
    let run = try TemporaryRun(inMemory: true)
    guard scenario.hasPredecessor else { return run }
    if scenario == .pruning { try run.save(old, step: 5) }
    try run.save(old, step: 10)
    if scenario == .afterAnInterruption {
      let counter = Counter()
      _ = try? run.save(new, step: 20) { _, _ in
        counter.calls += 1
        return counter.calls == 12 ? .crash : nil
      }
    }
    return run
  }

  /// Saves with `fault` at the k-th call; false when there were fewer calls.
  private func save(
    _ scenario: Scenario, _ run: TemporaryRun, faultAt k: Int, _ fault: FileFaults.Fault,
    error: inout String
  ) -> Bool {
    let counter = Counter()
    error = message {
      try run.save(new, step: scenario.step, keep: scenario.keep) { operation, _ in
        counter.calls += 1
        if counter.calls - 1 == k { return fault }
        let isFallback = scenario == .sameStepWithoutExchange && operation == .exchange
        return isFallback ? .fail(EINVAL) : nil
      }
    }
    return counter.calls > k
  }

  /// A good checkpoint must be there, of the old or the new kind, and the next save must tidy up.
  private func expectRecovery(_ scenario: Scenario, _ run: TemporaryRun, _ k: Int) throws {
    let selection = try CheckpointCatalog.latestValid(in: run.path, runID: "run1")
    #expect(selection.rejected == [], "\(scenario), call \(k)")
    if let reader = selection.reader {
      let values = try readAll(reader)
      let isNew = values == new.arrays && reader.manifest.step == scenario.step
      #expect(isNew || (values == old.arrays && reader.manifest.step == 10), "\(scenario), \(k)")
    } else {
      #expect(!scenario.hasPredecessor, "\(scenario), call \(k): no checkpoint is left")
    }
    try run.save(new, step: 30, keep: 1)
    #expect(try run.names() == ["step-00000030"], "\(scenario), call \(k)")
  }

  @Test(arguments: Scenario.allCases)
  func survivesACrashBeforeEveryCall(_ scenario: Scenario) throws {
    var k = 0
    var error = ""
    while true {
      let run = try prepared(scenario)
      guard save(scenario, run, faultAt: k, .crash, error: &error) else { break }
      try expectRecovery(scenario, run, k)
      k += 1
    }
    #expect(k > 20, "only \(k) calls were seen")
    #expect(error == "")
  }

  @Test(arguments: Scenario.allCases, [EIO, ENOSPC])
  func survivesAnErrorInEveryCall(_ scenario: Scenario, _ code: Int32) throws {
    var k = 0
    var error = ""
    while true {
      let run = try prepared(scenario)
      guard save(scenario, run, faultAt: k, .fail(code), error: &error) else { break }
      if !error.isEmpty {
        #expect(error.contains(String(cString: strerror(code))) && error.contains(run.path))
        // The new checkpoint may be there if only its last sync failed.
        let isPublished = FileManager.default.fileExists(atPath: run.stepPath(scenario.step))
        if !isPublished, scenario != .afterAnInterruption {
          #expect(try run.names().allSatisfy { !$0.contains("partial") }, "call \(k): \(error)")
        }
      }
      try expectRecovery(scenario, run, k)
      k += 1
    }
    #expect(error == "")
  }

  @Test func survivesShortWrites() throws {
    let run = try TemporaryRun(inMemory: true)
    try run.save(new, step: 1) { operation, _ in operation == .write ? .shortWrite : nil }
    #expect(complaints(run.stepPath(1)) == "")
  }

  @Test func aFullDiskNamesPathAndBytes() throws {
    let run = try TemporaryRun(inMemory: true)
    let text = message {
      try run.save(new, step: 1) { operation, path in
        operation == .write && path.contains("shard-00001") ? .fail(ENOSPC) : nil
      }
    }
    #expect(text.hasPrefix("step 1 was not saved: rank 1: cannot write \(run.path)/checkpoints/"))
    #expect(text.contains("shard-00001-of-00002.safetensors.zst: No space left on device (up to "))
    #expect(text.hasSuffix(" bytes missing)"))
  }

  /// After a failed save the same writer saves good files.
  @Test func aWriterOutlivesItsFailures() throws {
    let run = try TemporaryRun(inMemory: true)
    let counter = Counter()
    let writer = try CheckpointWriter(run: run.path, runID: "run1", retention: Retention(newest: 1))
    let large = Sample(sizes: [[3_000_000]], seed: 1)
    #expect(throws: CheckpointError.self) {
      try FileFaults { operation, _ in
        counter.calls += operation == .write ? 1 : 0
        return operation == .write && counter.calls == 1 ? .fail(EIO) : nil
      }.during { _ = try writer.save(large.contents(step: 1)) }
    }
    _ = try writer.save(large.contents(step: 1))
    #expect(complaints(run.stepPath(1)) == "")
  }

  /// Everything is durable before the name appears, and the name before the old one goes.
  @Test func syncsInOrder() throws {
    let run = try TemporaryRun(inMemory: true)
    try run.save(old, step: 10)
    var trace: [String] = []
    try run.save(new, step: 20, keep: 1) { operation, path in
      let name = path.hasPrefix(run.path) ? String(path.dropFirst(run.path.count)) : path
      if operation != .status, operation != .list { trace.append("\(operation) \(name)") }
      return nil
    }
    let partial = "/checkpoints/step-00000020.partial-run1"
    let commit = try #require(trace.firstIndex(of: "rename \(partial)"))
    let shard = "/shard-0000"
    for synced in [
      partial + shard + "0-of-00002.safetensors.zst",
      partial + shard + "1-of-00002.safetensors.zst",
      partial + "/manifest.json", partial, "/checkpoints",
    ] {
      let index = try #require(trace.firstIndex(of: "sync \(synced)"))
      #expect(index < commit, "\(synced)")
      let lastWrite = trace.lastIndex(of: "write \(synced)") ?? 0
      #expect(lastWrite < index)
    }
    #expect(trace[commit + 1] == "sync /checkpoints")
    #expect(trace[commit + 2].hasPrefix("remove"))
    let firstRemoval = try #require(trace.firstIndex { $0.contains("step-00000010") })
    #expect(firstRemoval > commit)
  }

  @Test func allRanksLearnOfAFailure() throws {
    let run = try TemporaryRun(inMemory: true)
    try run.save(old, step: 10, shards: 4)
    let results = onThreads(4) { coordination in
      let rank = coordination.rank
      let writer = try CheckpointWriter(
        run: run.path, runID: "run1", retention: Retention(newest: 1))
      try FileFaults { operation, _ in
        rank == 2 && operation == .sync ? .fail(EIO) : nil
      }.during { _ = try writer.save(new.contents(step: 20), coordination: coordination) }
    }
    #expect(Set(results).count == 1)
    #expect(results[0].contains("step 20 was not saved: rank 2: cannot sync "), "\(results[0])")
    #expect(try run.names() == ["step-00000010"])
    #expect(complaints(run.stepPath(10)) == "")
  }

  @Test func ranksMustSaveTheSameThing() throws {
    let run = try TemporaryRun(inMemory: true)
    let results = onThreads(2) { coordination in
      _ = try CheckpointWriter(run: run.path, runID: "run1", retention: Retention(newest: 1))
        .save(new.contents(step: 20 + coordination.rank), coordination: coordination)
    }
    #expect(results.allSatisfy { $0.contains("save different things") }, "\(results)")
  }
}
