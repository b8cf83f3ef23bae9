import CAllocationCounter
import Collectives
import DataParallel
import Foundation
import Kernels
import LanguageModels
import Logging
import Training

/// What tests of the trainer cannot see from outside.
///
///     training-probe allocations RECIPE [--add-one] [key.path=value ...]
///     training-probe shared-allocations RECIPE [key.path=value ...]
///     training-probe reduction COUNT LEAVES [overlap] [sharded] [plain]
///     training-probe failing-save RECIPE [key.path=value ...]
///     training-probe mismatch RECIPE [key.path=value ...]
///     training-probe damaged (weight | moment | nan | blink | infinity) RANK STEP RECIPE [key.path=value ...]
///     training-probe record LOG RANK SAMPLE RECIPE [key.path=value ...]
///     training-probe profile RECIPE [key.path=value ...]
///
/// The first prints how often memory was asked for during five warm steps, the second does so for a
/// part of shared sequences, the third sums known gradients of COUNT elements over the ranks and says
/// whether every bit is right. The fourth is a run in which MPI fails on rank 1 while a checkpoint is
/// saved, the fifth one in which rank 1 waits for another exchange than the rest, the sixth one in which a
/// bit of a rank's memory flips after a step. The seventh writes what each rank reads to LOG.rank-R and kills
/// RANK when it reads sample number SAMPLE of the run or a later one. The last runs three warm steps and tells `perf record --control` on the
/// fifo STATEX_PERF_CONTROL when they begin and end.
@main
struct TrainingProbe {
  static func main() throws {
    let arguments = Array(CommandLine.arguments.dropFirst())
    let communicator = try Communicator()
    switch arguments.first {
    case "allocations" where arguments.count > 1:
      let overrides = arguments.dropFirst(2).filter { $0 != "--add-one" }
      let count = try allocations(
        Recipe.load(path: arguments[1], overrides: Array(overrides)), communicator,
        addingOne: arguments.contains("--add-one"))
      print("allocations: \(count)")
    case "profile" where arguments.count > 1:
      try profile(
        Recipe.load(path: arguments[1], overrides: Array(arguments.dropFirst(2))), communicator)
    case "failing-save" where arguments.count > 1:
      let recipe = try Recipe.load(path: arguments[1], overrides: Array(arguments.dropFirst(2)))
      exit(failingSave(recipe, try Ranks(communicator)))
    case "mismatch" where arguments.count > 1:
      let recipe = try Recipe.load(path: arguments[1], overrides: Array(arguments.dropFirst(2)))
      exit(try mismatch(recipe, Ranks(communicator)))
    case "damaged" where arguments.count > 4:
      guard let damage = DamagedRun(arguments[1...3]) else { exit(64) }
      let recipe = try Recipe.load(path: arguments[4], overrides: Array(arguments.dropFirst(5)))
      let code = damage.run(recipe, try Ranks(communicator))
      if code == 0 { try communicator.finalize() }
      exit(code)
    case "record" where arguments.count > 4:
      guard let recorded = RecordedRun(arguments[1...3]) else { exit(64) }
      let recipe = try Recipe.load(path: arguments[4], overrides: Array(arguments.dropFirst(5)))
      let code = recorded.run(recipe, try Ranks(communicator))
      if code == 0 { try communicator.finalize() }
      exit(code)
    case "shared-allocations" where arguments.count > 1:
      let recipe = try Recipe.load(path: arguments[1], overrides: Array(arguments.dropFirst(2)))
      print("allocations: \(try SharedPass.allocations(recipe))")
    case "reduction" where arguments.count >= 3:
      guard let count = Int(arguments[1]), let leaves = Int(arguments[2]) else { exit(64) }
      let check = ReductionCheck(
        count: count, leaves: leaves, communicator: communicator,
        options: ReductionOptions(
          reproducible: !arguments.contains("plain"), overlaps: arguments.contains("overlap"),
          isSharded: arguments.contains("sharded")))
      guard try check.run() else {
        print("rank \(communicator.rank): other bits")
        communicator.abort(1)
      }
      if communicator.rank == 0 { print("reduction: pass") }
    default: exit(64)
    }
    try communicator.finalize()
  }

  /// Allocations in steps 4 to 8, those of OpenBLAS and oneDNN left out; `addingOne` makes one more, to show that they are counted.
  private static func allocations(
    _ recipe: Recipe, _ communicator: Communicator, addingOne: Bool
  ) throws -> Int {
    let trainer = try trainer(recipe, communicator)
    for step in 1...3 { _ = try trainer.step(step) }
    // OpenBLAS's kernels for small products allocate a panel in every call, and oneDNN the arguments of
    // one, through C++'s `new`.
    statex_start_counting_allocations("libopenblas libdnnl libstdc++")
    for step in 4...8 { _ = try trainer.step(step) }
    if addingOne { statex_allocate_once() }
    return statex_stop_counting_allocations()
  }

  /// A trainer set up as `statex-train` does.
  private static func trainer(_ recipe: Recipe, _ communicator: Communicator) throws -> Trainer {
    let ranks = try Ranks(communicator)
    configureBLAS()
    ThreadPool.configure(threadCount: recipe.parallel.threadsPerRank ?? 1)
    let model = try RunModel(recipe)
    let data = try RunData(recipe, model: model)
    let precision = RunPrecision(recipe.train.precision).products
    let languageModel = model.languageModel()
    return try Trainer(
      recipe, model: languageModel, parameters: try model.initialParameters(),
      stream: data.stream(), ranks: ranks,
      memory: TrainingMemory(
        recipe, languageModel, ranks: ranks.size, precision: precision), precision: precision)
  }

  /// Trains, and leaves as `statex-train` does.
  private static func failingSave(_ recipe: Recipe, _ ranks: Ranks) -> Int32 {
    do {
      var log = Logger(label: "training-probe")
      log.logLevel = .error
      let run = try TrainingRun(recipe, resume: .auto, ranks: ranks, log: log)
      let checkpoints = recipe.run.output + "/checkpoints"
      if ranks.rank == 1 {
        Communicator.fault = { call in
          let names = (try? FileManager.default.contentsOfDirectory(atPath: checkpoints)) ?? []
          let isSaving = names.contains { $0.contains(".partial-") }
          return isSaving && call == "MPI_Allgather" ? "the network is gone" : nil
        }
      }
      _ = try run.run()
      return 0
    } catch {
      return ranks.leave(because: error)
    }
  }

  /// Trains, and on rank 1 waits inside the third step for ranks that never come.
  private static func mismatch(_ recipe: Recipe, _ ranks: Ranks) throws -> Int32 {
    var log = Logger(label: "training-probe")
    log.logLevel = .error
    let run = try TrainingRun(recipe, resume: .auto, ranks: ranks, log: log)
    let other = try NonBlockingExchanges(ranks.communicator)
    let blocks = NonBlockingExchanges.Blocks(size: ranks.size)
    let numbers = UnsafeMutablePointer<Float>.allocate(capacity: 2 * ranks.size)
    for rank in 0..<ranks.size {
      (blocks.sendCounts[rank], blocks.sendOffsets[rank]) = (1, Int32(rank))
      (blocks.receiveCounts[rank], blocks.receiveOffsets[rank]) = (1, Int32(rank))
    }
    var exchanges = 0
    if ranks.rank == 1 {
      Communicator.fault = { call in
        if call == "MPI_Ialltoallv" { exchanges += 1 }
        guard exchanges == 3 else { return nil }
        exchanges += 1
        do {
          var operation = try other.startExchange(numbers, into: numbers + ranks.size, blocks)
          try other.wait(&operation)
        } catch {}
        return nil
      }
    }
    _ = try run.run()
    return 0
  }

  private static func profile(_ recipe: Recipe, _ communicator: Communicator) throws {
    let trainer = try trainer(recipe, communicator)
    let fifo = ProcessInfo.processInfo.environment["STATEX_PERF_CONTROL"].flatMap {
      FileHandle(forWritingAtPath: $0)
    }
    _ = try trainer.step(1)
    fifo?.write(Data("enable\n".utf8))
    for step in 2...4 { _ = try trainer.step(step) }
    fifo?.write(Data("disable\n".utf8))
  }
}
