import Foundation

/// This process's number as a launcher says, before MPI has started; nil without a launcher.
public var launcherRank: Int? {
  let environment = ProcessInfo.processInfo.environment
  let names = ["OMPI_COMM_WORLD_RANK", "PMIX_RANK", "SLURM_PROCID"]
  return names.lazy.compactMap { environment[$0].flatMap { Int($0) } }.first
}
