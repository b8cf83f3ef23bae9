import ArgumentParser
import Checkpointing
import CommandSupport
import Files
import Foundation
import HuggingFaceInterop
import JSON
import Training

extension CheckpointCommand {
  /// `statex checkpoint diff`: two checkpoints, value by value.
  struct Diff: ParsableCommand {
    static let configuration = CommandConfiguration(
      commandName: "diff", abstract: "Compare the values of two checkpoints, tensor by tensor.",
      discussion: """
        Parameters and optimizer state, whatever the numbers of ranks were. `relative` is the length of the \
        difference over the length of the first tensor.
        """)

    @Argument(help: "A checkpoint, or a run: its newest.")
    var first: String

    @Argument(help: "Another one.")
    var second: String

    @Flag(help: "List equal tensors too.")
    var all = false

    @Flag(help: "Print JSON.")
    var json = false

    func run() throws {
      let comparison = try CheckpointComparison(reader(first), reader(second))
      let listed = comparison.tensors.filter { all || $0.differing > 0 }
      if json {
        printJSON(Self.json(comparison, listed))
        return
      }
      var rows = [["tensor", "differ", "of", "largest", "relative"]]
      rows += listed.map {
        [
          $0.name, "\($0.differing)", "\($0.count)", String(format: "%.3e", $0.largest),
          String(format: "%.3e", $0.relative),
        ]
      }
      if !listed.isEmpty { print(alignedTable(rows)) }
      for name in comparison.onlyFirst { print("only in the first: \(name)") }
      for name in comparison.onlySecond { print("only in the second: \(name)") }
      let differing = comparison.tensors.count { $0.differing > 0 }
      print("\(comparison.tensors.count) tensors of both, \(differing) differ")
    }

    private func reader(_ path: String) throws -> CheckpointReader {
      var target = CheckpointTarget()
      target.path = path
      return try CheckpointReader(path: target.checkpoints()[0])
    }

    private static func json(
      _ comparison: CheckpointComparison, _ listed: [TensorDifference]
    ) -> JSONValue {
      func names(_ list: [String]) -> JSONValue { .array(list.map { .string($0) }) }
      let tensors = listed.map { tensor in
        JSONValue.object([
          JSONMember("name", .string(tensor.name)),
          JSONMember("differing", .integer(tensor.differing)),
          JSONMember("count", .integer(tensor.count)),
          JSONMember("largest", JSONValue(orText: tensor.largest)),
          JSONMember("relative", JSONValue(orText: tensor.relative)),
        ])
      }
      return .object([
        JSONMember("compared", .integer(comparison.tensors.count)),
        JSONMember("tensors", .array(tensors)),
        JSONMember("only_first", names(comparison.onlyFirst)),
        JSONMember("only_second", names(comparison.onlySecond)),
      ])
    }
  }

  /// `statex checkpoint export`: a model directory from what training saved.
  struct Export: ParsableCommand {
    static let configuration = CommandConfiguration(
      commandName: "export",
      abstract:
        "Write the model of a checkpoint, or the mean of several, as a Hugging Face directory.",
      discussion: """
        Reads weights only. The model is described by `recipe.yaml` of the checkpoint's run, or by --config.
        """)

    @Argument(help: "Checkpoints of one run, or a run: its newest. Several are averaged.")
    var checkpoints: [String]

    @Option(help: "The new model directory; an existing export there is replaced.")
    var output: String

    @Option(help: "Of a run, average that many of its newest checkpoints.")
    var average: Int?

    @Option(help: "Element type of the weights.")
    var dtype = ExportOptions.Precision.float32

    @Option(help: "The recipe, if it is not `recipe.yaml` of the run.")
    var config: String?

    func validate() throws {
      if let average, average < 1 || checkpoints.count > 1 {
        throw ValidationError("--average takes one run and a number of at least 1")
      }
    }

    func run() throws {
      let paths = try checkpoints.flatMap { path in
        var target = CheckpointTarget()
        target.path = path
        return try Array(target.checkpoints().prefix(average ?? 1))
      }
      if let average, paths.count < average {
        throw CommandError.data("\(checkpoints[0]): has \(paths.count) checkpoints, not \(average)")
      }
      let run = FileSystem.parent(of: FileSystem.parent(of: paths[0]))
      let recipe = try Recipe.load(
        path: config ?? run + "/recipe.yaml", overrides: ["run.output=" + run])
      try CheckpointExport(paths, recipe: recipe).write(to: output, dtype: dtype.exported)
      let names = paths.map { FileSystem.name(of: $0) }.joined(separator: ", ")
      print("wrote \(output): \(paths.count == 1 ? names : "the mean of " + names)")
    }
  }

  /// `statex checkpoint prune`: removes old checkpoints.
  struct Prune: ParsableCommand {
    static let configuration = CommandConfiguration(
      commandName: "prune", abstract: "Remove a run's old checkpoints.",
      discussion: "The newest must verify, and the run must not be training.")

    @Argument(help: "A run directory.")
    var directory: String

    @Option(help: "How many of the newest stay.")
    var keep: Int

    @Option(help: "Checkpoints of multiples of that many steps stay.")
    var keepEvery: Int?

    @Flag(name: .customLong("dry-run"), help: "Only say what would go.")
    var dryRun = false

    func validate() throws {
      guard keep >= 1, keepEvery ?? 1 >= 1 else {
        throw ValidationError("--keep and --keep-every take a number of at least 1")
      }
    }

    func run() throws {
      var target = CheckpointTarget()
      target.path = directory
      let run = try target.existingRun()
      let lock = try RunLock(run: run)
      defer { lock.release() }
      let old = try CheckpointCatalog.dispensable(
        in: run, Retention(newest: keep, every: keepEvery))
      for entry in old {
        if !dryRun { try CheckpointCatalog.remove(entry, in: run) }
        print((dryRun ? "would remove " : "removed ") + entry.path)
      }
      if old.isEmpty { print("nothing to remove") }
    }
  }
}
