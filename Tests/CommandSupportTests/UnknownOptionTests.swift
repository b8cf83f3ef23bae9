import ArgumentParser
import CommandSupport
import ErrorReporting
import Testing

/// A program with a subcommand, as the real ones are.
struct Program: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "program", version: "1.2.3", subcommands: [Measure.self])
}

struct Measure: ParsableCommand {
  static let configuration = CommandConfiguration(commandName: "measure")

  @Option var samples = 1
  @Option var sequenceLength: Int
  @Option(help: .hidden) var probe = 0

  func run() throws {
    switch probe {
    case 1: throw CommandError.data("model.bin: no model")
    case 2: throw ExitCode(75)
    case 3: throw UnnamedMistake()
    default: print("measured")
    }
  }
}

struct UnnamedMistake: Error {}

@Suite struct UnknownOptionTests {
  private func line(_ arguments: String...) throws -> String {
    do {
      _ = try Program.parseAsRoot(arguments)
      return "accepted"
    } catch {
      let failure = argumentFailure(error, of: Program.self, arguments)
      #expect(failure.exitCode == 64)
      return failure.line
    }
  }

  @Test func aMisspeltOptionIsNamedWithTheOneThatIsMeant() throws {
    #expect(
      try line("measure", "--smaples", "3", "--sequence-length", "4")
        == "Unknown option '--smaples'. Did you mean '--samples'?")
    #expect(
      try line("measure", "--sequence-lenght=4")
        == "Unknown option '--sequence-lenght'. Did you mean '--sequence-length'?")
  }

  @Test func anOptionLikeNoOtherIsNamedAlone() throws {
    #expect(
      try line("measure", "--sequence-length", "4", "--x")
        == "Unknown option '--x'")
  }

  @Test func whatTheParserMissesIsSaidWhenEveryOptionExists() throws {
    #expect(try line("measure").contains("--sequence-length"))
    #expect(try line("measure", "--sequence-length", "many").contains("many"))
  }

  @Test func argumentsBehindTwoDashesAreNoOptions() throws {
    let text = try line("measure", "--sequence-length", "4", "--", "--nothing")
    #expect(!text.contains("Unknown option"))
  }

  @Test func hiddenOptionsAreKnown() throws {
    #expect(try line("measure", "--sequence-length", "4", "--probe", "0") == "accepted")
  }
}
