import ChildPrograms
import Foundation
import Testing
import Training

@Suite struct RunStatusTests {
  /// Reads a status with these numbers of launches, and counts on.
  private func next(launches: String, idle: String) throws -> (RunStatus, doubt: String) {
    let directory = try TemporaryDirectory()
    let text = """
      {"run_id": "r", "state": "failed", "saved_step": 3, "steps": 9, "ranks": 2, "host": "h", "pid": 7,
       "launches": \(launches), "idle_launches": \(idle)}
      """
    try Data(text.utf8).write(to: URL(fileURLWithPath: directory.path + "/status.json"))
    let (previous, doubt) = try RunStatus.find(in: directory.path)
    let status = RunStatus(runID: "r", savedStep: 3, steps: 9, ranks: 2, after: previous)
    return (status, doubt?.description ?? "")
  }

  @Test func launchesAreCountedOn() throws {
    let (status, doubt) = try next(launches: "4", idle: "1")
    #expect(status.launches == 5 && status.idleLaunches == 2 && doubt == "")
  }

  @Test(arguments: ["9223372036854775807", "1152921504606846976", "-1"])
  func numbersThatCannotBeAreNoStatus(_ number: String) throws {
    for (launches, idle) in [(number, "0"), ("0", number)] {
      let (status, doubt) = try next(launches: launches, idle: idle)
      #expect(status.launches == 1 && doubt.contains("this is not a run's status"))
    }
  }
}
