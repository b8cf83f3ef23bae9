import Checkpointing
import Foundation
import Testing

@Suite struct RunLockTests {
  @Test func refusesASecondHolder() throws {
    let run = try TemporaryRun()
    let lock = try RunLock(run: run.path)
    #expect(lock.staleOwner == nil)
    let text = message { _ = try RunLock(run: run.path) }
    #expect(text.contains("run directory \(run.path) is in use by process \(getpid()) on "))
    lock.release()
    #expect(try RunLock(run: run.path).staleOwner == nil)
  }

  @Test func takesOverFromTheDead() throws {
    let run = try TemporaryRun()
    let text = #"{"host": "node17", "pid": 4242, "slurm_job_id": "99"}"#
    try write(Array(text.utf8), run.path + "/.lock")
    let lock = try RunLock(run: run.path)
    #expect(lock.staleOwner == "process 4242 on node17 (Slurm job 99)")
    withExtendedLifetime(lock) {}
  }

  @Test func survivesNonsenseInTheFile() throws {
    let run = try TemporaryRun()
    try write([0xFF, 0x7B, 0], run.path + "/.lock")
    let lock = try RunLock(run: run.path)
    #expect(throws: CheckpointError.self) { try RunLock(run: run.path) }
    withExtendedLifetime(lock) {}
  }

  @Test func theLockDiesWithItsProcess() throws {
    let run = try TemporaryRun()
    let lock = run.path + "/.lock"
    let process = Process()
    process.executableURL = URL(fileURLWithPath: "/usr/bin/env")
    process.arguments = ["flock", "--close", lock, "sleep", "5"]
    try process.run()
    var text = ""
    for _ in 0..<200 where text.isEmpty {  // until the child has the lock
      text = message { _ = try RunLock(run: run.path) }
      usleep(10_000)
    }
    #expect(text.contains("is in use by another process"))
    kill(process.processIdentifier, SIGKILL)
    process.waitUntilExit()
    #expect(message { _ = try RunLock(run: run.path) } == "")
  }
}
