import ChildPrograms
import Foundation
import Testing

/// A short campaign; `make fuzz` runs the long one.
@Suite("Parsers of changed inputs") struct FuzzTests {
  @Test("throw typed errors, in time, in bounds")
  func shortCampaign() throws {
    let directory = try TemporaryDirectory()
    let products = URL(fileURLWithPath: "/proc/self/exe").resolvingSymlinksInPath()
      .deletingLastPathComponent().path
    let seed = UInt64(Date().timeIntervalSince1970) / 86_400
    let result = try ChildProcess(
      [
        products + "/fuzz", "--inputs", "2000", "--seed", "\(seed)",
        "--output", directory.path + "/findings",
      ],
      directory: directory.path
    ).wait(limit: 300)
    #expect(result.code == 0, "seed \(seed): \(result.stdout)\(result.stderr)")
  }
}
