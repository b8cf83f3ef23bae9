import ArgumentParser
import Checkpointing
import CommandSupport
import Files

/// `statex checkpoint`: what training saved.
struct CheckpointCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "checkpoint",
    abstract: "List, verify, show, compare, export and remove checkpoints.",
    subcommands: [List.self, Verify.self, Show.self, Diff.self, Export.self, Prune.self])

  /// `statex checkpoint list`: the committed checkpoints of a run.
  struct List: ParsableCommand {
    static let configuration = CommandConfiguration(
      commandName: "list", abstract: "List a run's checkpoints, newest first.")

    @OptionGroup var target: CheckpointTarget

    @Flag(help: "Print JSON.")
    var json = false

    func run() throws {
      let description = try PathDescription.run(target.existingRun())
      if json {
        printJSON(description.json)
      } else {
        print(description.text)
      }
    }
  }

  /// `statex checkpoint verify`: every file against its manifest.
  struct Verify: ParsableCommand {
    static let configuration = CommandConfiguration(
      commandName: "verify", abstract: "Check every file of one checkpoint, or of all of a run.",
      discussion: "Every bad file is listed on stdout; the exit code is then 65.")

    @OptionGroup var target: CheckpointTarget

    @Flag(help: "Also decompress everything, which takes several times as long.")
    var contents = false

    func run() throws {
      var problems: [CheckpointProblem] = []
      for path in try target.checkpoints() {
        let found = try CheckpointCatalog.problems(at: path, contents: contents)
        print(found.isEmpty ? "\(path): good" : "\(path): \(found.count) bad")
        for problem in found { print("  \(problem)") }
        problems += found
      }
      guard problems.isEmpty else {
        throw CheckpointError.damaged(path: target.path, problems: problems)
      }
    }
  }

  /// `statex checkpoint show`: what a manifest says.
  struct Show: ParsableCommand {
    static let configuration = CommandConfiguration(
      commandName: "show", abstract: "Show one checkpoint, or the newest of a run.")

    @OptionGroup var target: CheckpointTarget

    @Flag(help: "Print JSON.")
    var json = false

    func run() throws {
      guard let path = try target.checkpoints().first else { return }
      let description = try PathDescription.checkpoint(path)
      if json {
        printJSON(description.json)
      } else {
        print(description.text)
      }
    }
  }
}

/// A run directory or one checkpoint of it.
struct CheckpointTarget: ParsableArguments {
  @Argument(help: "A run directory, or one checkpoint, for example run/checkpoints/step-00001000.")
  var path: String

  /// The run directory, given as itself.
  func existingRun() throws -> String {
    _ = try FileSystem.list(path)
    guard try FileSystem.exists(path + "/checkpoints") else {
      throw CommandError.data("\(path): not a run directory: it holds no folder 'checkpoints'")
    }
    return path
  }

  /// The checkpoint, or all of the run, newest first; never empty.
  func checkpoints() throws -> [String] {
    let name = FileSystem.name(of: path)
    let isStep = try FileSystem.exists(path + "/" + CheckpointManifest.fileName)
    if try FileSystem.exists(path), isStep || name.hasPrefix("step-") {
      return [path]
    }
    let run = try existingRun()
    let paths = try CheckpointCatalog.entries(in: run).map(\.path)
    guard !paths.isEmpty else {
      throw CommandError.data("\(run): there is no complete checkpoint in this run")
    }
    return paths
  }
}
