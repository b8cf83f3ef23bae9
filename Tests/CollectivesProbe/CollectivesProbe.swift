import Collectives
import Foundation

/// Checks every operation of `Communicator` on the ranks it is started with.
///
///     mpirun -n 3 collectives-probe           every operation gives what it says, on every rank
///     mpirun -n 3 collectives-probe failure   a call that MPI refuses is thrown, and no rank is killed
///     mpirun -n 3 collectives-probe abort     rank 1 ends all ranks with code 9
///
/// The last line of the first two is `collectives: pass`; a check that fails is named by its rank.
@main
struct CollectivesProbe {
  static func main() throws {
    let communicator = try Communicator()
    let mode = CommandLine.arguments.dropFirst().first
    switch mode {
    case nil: try report(OperationChecks(communicator).failed(), communicator)
    case "failure": try report(refusals(communicator), communicator)
    case "abort":
      if communicator.rank == 1 { communicator.abort(9) }
      // Never ends by itself: only the abort of another rank does it.
      while true { sleep(1) }
    default: exit(64)
    }
    try communicator.finalize()
  }

  private static func report(_ failed: [String], _ communicator: Communicator) throws {
    for name in failed { print("rank \(communicator.rank): \(name)") }
    guard try communicator.maximum(failed.count) == 0 else {
      fflush(nil)
      try communicator.finalize()
      exit(1)
    }
    if communicator.rank == 0 { print("collectives: pass") }
  }

  /// Hands MPI a negative count on the communicator, on a group of it and on those of exchanges.
  private static func refusals(_ communicator: Communicator) throws -> [String] {
    var failed: [String] = []
    func refuse(_ name: String, _ call: String, _ body: () throws -> Void) {
      do {
        try body()
        failed.append("\(name) is not refused")
      } catch let error as CollectiveError {
        if error.call != call || error.reason.isEmpty { failed.append("\(name): \(error)") }
      } catch {
        failed.append("\(name): \(error)")
      }
    }
    var values = [Float](repeating: 0, count: communicator.size)
    refuse("a gather", "MPI_Allgather") { try communicator.gather(inPlace: &values, count: -1) }
    let group = try communicator.split(color: communicator.rank % 2)
    refuse("a group's gather", "MPI_Allgather") { try group.gather(inPlace: &values, count: -1) }
    let exchanges = try NonBlockingExchanges(communicator)
    let blocks = NonBlockingExchanges.Blocks(size: communicator.size)
    blocks.sendCounts.update(repeating: -1)
    refuse("an exchange", "MPI_Ialltoallv") {
      _ = try exchanges.startExchange(values, into: &values, blocks)
    }
    return failed
  }
}
