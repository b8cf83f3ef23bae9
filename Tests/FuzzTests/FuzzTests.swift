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

  @Test(
    "a wrong command line is one line",
    arguments: [
      (["recipes"], "there is no parser `recipes`; choose among "),
      (["--replay", "recipes", "file"], "there is no parser `recipes`"),
      (["--replay", "recipe"], "there is no parser `--replay`"),
      (["recipe", "--inputs", "many"], "--inputs needs a value"),
      (["recipe", "--seed"], "--seed needs a value"),
    ])
  func wrongUsage(arguments: [String], says: String) throws {
    let directory = try TemporaryDirectory()
    let products = URL(fileURLWithPath: "/proc/self/exe").resolvingSymlinksInPath()
      .deletingLastPathComponent().path
    let result = try ChildProcess([products + "/fuzz"] + arguments, directory: directory.path)
      .wait(limit: 60)
    #expect(result.code == 64 && result.stdout.isEmpty, "\(result.code): \(result.stdout)")
    let lines = result.stderr.split(separator: "\n")
    #expect(lines.count == 1 && lines[0].hasPrefix("error: " + says), "\(result.stderr)")
  }
}
