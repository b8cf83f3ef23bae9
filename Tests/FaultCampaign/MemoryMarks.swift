import ChildPrograms
import Foundation

/// Memory that changes by itself.
enum MemoryMarks {
  static let all = [
    Mark(id: "F32", title: "one bit flipped in a rank's weights in memory", run: flips),
    Mark(id: "F33", title: "NaN in the weights of all ranks in memory", run: notNumbers),
  ]

  private static let ranks = TrainingJob.Launch.ranks(4)

  /// Updates that are too small to change a weight, so that the weights can be found in memory: they are
  /// those of the export from the first step to the last.
  private static let settings = [
    "train.optimizer={lr: 1.0e-30, weight_decay: 0}", "parallel.verify_every=5",
    "checkpoint.every=10", "checkpoint.keep=3",
  ]

  private static func specimen() throws -> Specimen {
    try Specimen(settings, on: ranks, savedStep: 10, steps: 150)
  }

  /// A tensor of the export: its name and its numbers.
  private struct Tensor {
    let name: String
    let bytes: [UInt8]
  }

  /// The tensors of some size.
  private static func tensors(_ specimen: Specimen) throws -> [Tensor] {
    let file = [UInt8](specimen.reference.weights)
    let header = file.prefix(8).reversed().reduce(0) { $0 << 8 | Int($1) }
    let json = try JSONSerialization.jsonObject(with: Data(file[8..<(8 + header)]))
    guard let entries = json as? [String: [String: Any]] else { return [] }
    return entries.sorted { $0.key < $1.key }.compactMap { name, entry in
      guard let range = entry["data_offsets"] as? [Int], range[1] - range[0] >= 1024 else {
        return nil
      }
      return Tensor(
        name: name, bytes: Array(file[(8 + header + range[0])..<(8 + header + range[1])]))
    }
  }

  /// Changes a number of a tensor in a rank's memory; the number of copies that were found of it.
  private static func change(
    _ tensor: Tensor, of process: pid_t, at number: Int, _ body: ([UInt8]) -> [UInt8]
  ) throws -> Int {
    let memory = try ProcessMemory(of: process)
    defer { memory.close() }
    let old = Array(tensor.bytes[(4 * number)..<(4 * number + 4)])
    let addresses = memory.addresses(of: tensor.bytes)
    return addresses.count { memory.write(body(old), at: $0 + UInt64(4 * number)) }
  }

  /// Whether memory can be written here; the reason if not.
  private static func obstacle() -> String? {
    guard let probe = try? ChildProcess(["sleep", "9"], directory: NSTemporaryDirectory()) else {
      return "no process can be started"
    }
    defer { probe.end() }
    guard let memory = try? ProcessMemory(of: probe.pid) else {
      return "the memory of other processes may not be written here"
    }
    memory.close()
    return nil
  }

  @Sendable private static func flips(_ campaign: Campaign) throws -> Campaign.Outcome {
    if let obstacle = obstacle() { return .skipped(obstacle) }
    let specimen = try specimen()
    let tensors = try tensors(specimen)
    return campaign.trials("F32", campaign.count(30, short: 4)) { trial in
      let victim = try specimen.copy(for: trial)
      let sharding = trial.index % 2 == 0 ? "none" : "zero1"
      let settings = ["parallel.optimizer_sharding=\(sharding)"]
      let run = try victim.start(ranks, settings)
      let row = 12 + trial.random.below(40)
      run.wait { victim.rows >= row }
      let rank = trial.random.below(4)
      let tensor = trial.pick(tensors)
      guard let process = trial.rank(rank, of: run, ranks) else {
        return trial.isTooLate(run, victim)
      }
      let (number, bit) = (trial.random.below(tensor.bytes.count / 4), trial.random.below(32))
      let before = victim.committed
      let copies = try change(tensor, of: process, at: number) { old in
        var new = old
        new[bit / 8] ^= 1 << UInt8(bit % 8)
        return new
      }
      trial.check("flipped", copies > 0, "\(tensor.name) was not found")
      let result = run.wait()
      let what = "\(sharding), rank \(rank), \(tensor.name)[\(number)] bit \(bit)"
      let line = result.errorLines.first ?? ""
      let isNamed =
        result.code == 70 && line.contains("parameters/\(tensor.name)")
        && line.contains("on rank \(rank) (")
      let isWhole = (try? specimen.job.outcome(victim.name)) == specimen.reference
      if sharding == "zero1" && !isNamed && !isWhole {
        // After the rank's last look at its part and before that is handed out, no copy differs.
        return trial.remark("in the moment of an update of zero1, unseen")
      }
      // An update may overwrite the number before anything has read it.
      if result.code == 0 {
        trial.remark("overwritten before use")
      } else {
        trial.check(
          "stopped, naming rank and tensor", isNamed, "\(what): \(result.code) \(result.stderr)")
      }
      try trial.checkRecovery(of: victim, committedBefore: before, on: trial.pick([.alone, ranks]))
    }
  }

  /// On all ranks at once, since otherwise they differ.
  @Sendable private static func notNumbers(_ campaign: Campaign) throws -> Campaign.Outcome {
    if let obstacle = obstacle() { return .skipped(obstacle) }
    let specimen = try specimen()
    let tensors = try tensors(specimen)
    return campaign.trials("F33", campaign.count(12, short: 2)) { trial in
      let victim = try specimen.copy(for: trial)
      let policy = trial.index % 2 == 0 ? "stop" : "roll_back"
      let process = try victim.start(
        ranks, ["train.on_spike={policy: \(policy), steps_back: 2, threshold: 1.0e+6}"])
      let row = 25 + trial.random.below(20)
      process.wait { victim.rows >= row }
      let tensor = trial.pick(tensors)
      let number = trial.random.below(tensor.bytes.count / 4)
      let all = process.ranks(ranks)
      guard all.count == 4 else {
        return trial.isTooLate(process, victim)
      }
      for rank in all { kill(rank, SIGSTOP) }
      let before = victim.committed
      let copies = try all.map {
        try change(tensor, of: $0, at: number) { _ in [0, 0, 0xC0, 0x7F] }
      }
      for rank in all { kill(rank, SIGCONT) }
      trial.check("written", copies.allSatisfy { $0 > 0 }, "\(tensor.name): \(copies)")
      let result = process.wait()
      // Batches are left out after going back, so the run is another one then.
      let wentBack = result.code == 0 && result.stderr.contains("going back to")
      trial.remark(wentBack ? "went back" : "stopped")
      trial.check(
        "stopped, or went back", result.code == 70 || policy == "roll_back" && wentBack,
        "\(policy), \(tensor.name)[\(number)]: \(result.code) \(result.stderr)")
      if wentBack {
        let verified = try victim.verify()
        trial.check("verified", verified.code == 0, verified.stderr)
        trial.check("finished", victim.rows == specimen.steps, "\(victim.rows) rows")
        if trial.passes { victim.remove() }
      } else {
        try trial.checkRecovery(
          of: victim, committedBefore: before, on: trial.pick([.alone, ranks]))
      }
    }
  }
}
