import Foundation
import Kernels

/// The threads of a rank: its part of the processors that the ranks of a machine may use.
package struct RankThreads {
  /// How many.
  package let count: Int
  /// Whether the ranks of the machine have more threads than processors.
  package let isOversubscribed: Bool

  /// Divides.
  ///
  /// - Parameters:
  ///   - asked: as many as the recipe wants; nil for as many as can run at a time.
  ///   - processors: those of all ranks.
  ///   - rank: which one is meant.
  package init(asked: Int?, _ processors: [AllowedProcessors], rank: Int) {
    let own = processors[rank]
    let neighbours = processors.filter { $0.host == own.host }
    // Ranks share the processors of a mask, and each quota with everybody in its group.
    var share = own.mask.count / neighbours.count { $0.mask == own.mask }
    for quota in own.quotas {
      let sharing = neighbours.count { other in
        other.quotas.contains { $0.group == quota.group }
      }
      share = min(share, Int(quota.processors) / sharing)
    }
    count = asked ?? max(1, share)
    isOversubscribed = count > share
  }
}

/// Ranks that can use fewer processors than they were given threads, or than their machine has.
package enum ProcessorShortage {
  /// Who started the ranks.
  package enum Launcher {
    case none, mpirun, slurm

    /// As the environment says.
    package init(_ environment: [String: String]) {
      switch environment {
      case _ where environment["OMPI_COMM_WORLD_SIZE"] != nil: self = .mpirun
      case _ where environment["SLURM_STEP_ID"] != nil: self = .slurm
      default: self = .none
      }
    }
  }

  /// What is short and how to mend it, one line; nil when all is well.
  package static func warning(
    asked: Int?, _ processors: [AllowedProcessors], launcher: Launcher
  ) -> String? {
    for rank in processors.indices {
      let threads = RankThreads(asked: asked, processors, rank: rank)
      let own = processors[rank]
      let neighbours = processors.filter { $0.host == own.host }
      let reachable = neighbours.reduce(into: Set<Int>()) { $0.formUnion($1.mask) }.count
      let useful = min(own.available, own.quotas.map { max(1, Int($0.processors)) }.min() ?? .max)
      if reachable < useful {
        let each = max(1, useful / neighbours.count)
        return
          "rank \(rank) has \(threads.count) thread\(threads.count == 1 ? "" : "s") and is bound "
          + "to \(own.mask.count) of the \(own.available) processors of \(own.host): "
          + launcher.fix(processors: each)
      }
      if threads.isOversubscribed {
        return "\(threads.count) thread\(threads.count == 1 ? "" : "s") on each of "
          + "\(processors.count) ranks is more than the processors available to them; lower "
          + "parallel.threads_per_rank or start fewer ranks"
      }
    }
    return nil
  }
}

extension ProcessorShortage.Launcher {
  fileprivate func fix(processors: Int) -> String {
    switch self {
    case .mpirun: "start mpirun with --bind-to none, or --map-by slot:PE=\(processors)"
    case .slurm: "give srun --cpus-per-task=\(processors)"
    case .none: "start it without taskset, or with more processors"
    }
  }
}

extension Ranks {
  /// Starts this rank's compute threads; collective.
  ///
  /// - Parameters:
  ///   - asked: their number; nil for as many as can run at a time.
  ///   - warn: called on the lead rank where processors are short.
  /// - Returns: their number.
  /// - Throws: `CollectiveError`.
  @discardableResult
  package func configureThreads(_ asked: Int?, warn: (String) -> Void) throws -> Int {
    let own = try JSONEncoder().encode(AllowedProcessors.current())
    let all = try communicator.gather(Array(own)).map {
      try JSONDecoder().decode(AllowedProcessors.self, from: Data($0))
    }
    let threads = RankThreads(asked: asked, all, rank: rank)
    let launcher = ProcessorShortage.Launcher(ProcessInfo.processInfo.environment)
    if leads, let warning = ProcessorShortage.warning(asked: asked, all, launcher: launcher) {
      warn(warning)
    }
    ThreadPool.configure(
      threadCount: threads.count, spins: threads.isOversubscribed ? 0 : 4000)
    return threads.count
  }
}
