import ErrorReporting
import Testing

@Suite struct FailureReportTests {
  private struct Refusal: UserFacingError {
    let description: String
    let exitCode: Int32
  }

  private struct Mistake: Error {}

  @Test func whatAUserIsToldIsOneLine() {
    let report = FailureReport(Refusal(description: "a: \r\n  b\n\nc", exitCode: 65))
    #expect(report == FailureReport(exitCode: 65, line: "a: b c"))
    #expect(report.line == "a: b c")
  }

  @Test func anyOtherErrorIsInternal() {
    let report = FailureReport(Mistake())
    #expect(report == FailureReport(exitCode: 70, line: "internal error: Mistake()"))
  }
}
