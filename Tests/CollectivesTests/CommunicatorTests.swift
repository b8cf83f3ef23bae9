import ChildPrograms
import Foundation
import Testing

/// `Communicator` among real ranks: `collectives-probe` under mpirun.
@Suite("ranks", .serialized)
struct CommunicatorTests {
  private let directory: TemporaryDirectory

  init() throws { directory = try TemporaryDirectory() }

  /// Runs the probe, beside the running test program, on that many ranks; nil starts no launcher.
  private func probe(_ ranks: Int?, _ arguments: String...) throws -> ChildProcess.Result {
    let products = URL(fileURLWithPath: "/proc/self/exe").resolvingSymlinksInPath()
      .deletingLastPathComponent().path
    let launcher = ranks.map { ["mpirun", "--oversubscribe", "-n", String($0)] } ?? []
    return try ChildProcess(
      launcher + [products + "/collectives-probe"] + arguments, directory: directory.path
    ).wait()
  }

  @Test("every operation gives what it says", arguments: [nil, 1, 2, 3, 5])
  func operations(ranks: Int?) throws {
    let result = try probe(ranks)
    #expect(result.code == 0, "\(result.stdout)\(result.stderr)")
    #expect(result.stdout == "collectives: pass\n")
  }

  @Test("what MPI refuses is thrown with the call's name, also by groups and exchanges")
  func refusals() throws {
    let result = try probe(3, "failure")
    #expect(result.code == 0, "\(result.stdout)\(result.stderr)")
    #expect(result.stdout == "collectives: pass\n")
  }

  @Test("one rank ends all of them with its code")
  func abort() throws {
    let result = try probe(3, "abort")
    #expect(result.code == 9, "\(result.stderr)")
    #expect(result.seconds < 30)
  }
}
