import CommandSupport
import ErrorReporting
import Testing

@Suite struct ExitCodeTests {
  /// What the program wrote.
  ///
  /// Of a stream to which nothing was written the toolchain returns a mark of its own, so that "nothing"
  /// cannot be compared.
  private static func end(
    _ result: ExitTest.Result?
  ) throws -> (output: String, errors: String) {
    let result = try #require(result)
    return (
      String(decoding: result.standardOutputContent, as: UTF8.self),
      String(decoding: result.standardErrorContent, as: UTF8.self)
    )
  }

  @Test func aCommandThatIsDoneIsZero() async throws {
    let result = await #expect(
      processExitsWith: .exitCode(0),
      observing: [\.standardOutputContent, \.standardErrorContent]
    ) {
      runAsRoot(Program.self, arguments: ["measure", "--sequence-length", "4"])
    }
    let said = try Self.end(result)
    #expect(said.output.contains("measured\n"))
    #expect(!said.errors.contains("error"))
  }

  @Test func theVersionIsZeroAndGoesToStandardOutput() async throws {
    let result = await #expect(
      processExitsWith: .exitCode(0),
      observing: [\.standardOutputContent, \.standardErrorContent]
    ) {
      runAsRoot(Program.self, arguments: ["--version"])
    }
    let said = try Self.end(result)
    #expect(said.output.contains("1.2.3\n"))
    #expect(!said.errors.contains("error"))
  }

  @Test func wrongUsageIsOneLineAnd64() async throws {
    let result = await #expect(
      processExitsWith: .exitCode(64), observing: [\.standardErrorContent]
    ) {
      runAsRoot(Program.self, arguments: ["measure", "--smaples", "3"])
    }
    #expect(
      try Self.end(result).errors
        == "error: Unknown option '--smaples'. Did you mean '--samples'?\n")
  }

  @Test func anErrorForUsersHasItsOwnCode() async throws {
    let result = await #expect(
      processExitsWith: .exitCode(65), observing: [\.standardErrorContent]
    ) {
      runAsRoot(Program.self, arguments: ["measure", "--sequence-length", "4", "--probe", "1"])
    }
    #expect(try Self.end(result).errors == "error: model.bin: no model\n")
  }

  @Test func aThrownExitCodeSaysNothing() async throws {
    let result = await #expect(
      processExitsWith: .exitCode(75), observing: [\.standardErrorContent]
    ) {
      runAsRoot(Program.self, arguments: ["measure", "--sequence-length", "4", "--probe", "2"])
    }
    #expect(try !Self.end(result).errors.contains("error"))
  }

  @Test func anyOtherErrorIsInternal() async throws {
    let result = await #expect(
      processExitsWith: .exitCode(70), observing: [\.standardErrorContent]
    ) {
      runAsRoot(Program.self, arguments: ["measure", "--sequence-length", "4", "--probe", "3"])
    }
    #expect(try Self.end(result).errors == "error: internal error: UnnamedMistake()\n")
  }

  @Test func usageIs64AndData65() {
    #expect(CommandError.usage("a").exitCode == 64 && CommandError.usage("a").description == "a")
    #expect(CommandError.data("b").exitCode == 65 && CommandError.data("b").description == "b")
  }
}
