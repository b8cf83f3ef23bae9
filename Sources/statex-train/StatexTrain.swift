import ArgumentParser
import Collectives
import Foundation
import Logging
import Training

/// `statex-train --config FILE`: the trainer, alone or under mpirun or srun.
@main
struct StatexTrain: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "statex-train",
    abstract: "Expand the recurrent state of a language model and post-train it.",
    discussion: """
      Runs alone, under mpirun, or under srun --mpi=pmix. Exit codes: 0 done; 64 bad usage or \
      recipe; 65 bad input data; 74 I/O failure; 75 stopped on a signal after saving (start again \
      to go on); 70 internal error.
      """)

  @Option(help: "The recipe, a YAML file.")
  var config: String

  @Flag(help: "Check gradients, numbers and reproducibility on this recipe, one process; no training.")
  var debug = false

  @Flag(name: .customLong("dry-run"), help: "Say what would happen; write nothing.")
  var dryRun = false

  @Option(help: "auto: from the newest checkpoint of run.output, if any; never; or a PATH.")
  var resume = "auto"

  @Argument(help: "Overrides of the recipe, for example train.steps=20.")
  var overrides: [String] = []

  func run() throws {
    // Handled in `main`, where MPI is.
  }

  static func main() {
    let options: StatexTrain
    do {
      options = try parse()
    } catch {
      exitFromParsing(error)
    }
    exit(options.train())
  }

  /// Help goes to standard output; anything else is one line and exit code 64.
  private static func exitFromParsing(_ error: any Error) -> Never {
    guard exitCode(for: error) == .success else { fail(message(for: error), code: 64) }
    print(message(for: error))
    Foundation.exit(0)
  }

  private static func fail(_ line: String, code: Int32) -> Never {
    FileHandle.standardError.write(Data("error: \(line)\n".utf8))
    Foundation.exit(code)
  }
}
