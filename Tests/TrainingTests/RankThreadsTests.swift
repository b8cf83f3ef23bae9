import Kernels
import Testing
import Training

/// How ranks divide the processors of their machines, and what is said when they are short.
@Suite struct RankThreadsTests {
  private func rank(
    _ mask: Range<Int>, on host: String = "a", of available: Int = 8,
    quotas: [String: Double] = [:]
  ) -> AllowedProcessors {
    AllowedProcessors(
      host: host, mask: Set(mask), available: available,
      quotas: quotas.map { ProcessorQuota(group: $0, processors: $1) })
  }

  private func counts(_ ranks: [AllowedProcessors], asked: Int? = nil) -> [Int] {
    ranks.indices.map { RankThreads(asked: asked, ranks, rank: $0).count }
  }

  @Test func processorsAreDividedAmongTheRanksThatShareThem() {
    #expect(counts([rank(0..<8), rank(0..<8), rank(0..<8, on: "b")]) == [4, 4, 8])
    #expect(counts([rank(0..<4), rank(4..<8)]) == [4, 4])
    #expect(counts([rank(0..<2), rank(0..<2), rank(0..<2)]) == [1, 1, 1])
  }

  @Test func aQuotaIsSharedByItsGroup() {
    let both = ["/job": 5.0]
    #expect(counts([rank(0..<4, quotas: both), rank(4..<8, quotas: both)]) == [2, 2])
    // Each has 3 of its own, and the job 4 for both.
    let nested = [
      rank(0..<8, quotas: ["/job/0": 3, "/job": 4]), rank(0..<8, quotas: ["/job/1": 3, "/job": 4]),
    ]
    #expect(counts(nested) == [2, 2])
    #expect(counts([rank(0..<8, quotas: ["/job": 0.5])]) == [1])
    let apart = [rank(0..<8, on: "a", quotas: both), rank(0..<8, on: "b", quotas: both)]
    #expect(counts(apart) == [5, 5])
  }

  private func warning(
    _ ranks: [AllowedProcessors], asked: Int? = nil, _ environment: [String: String] = [:]
  ) -> String? {
    ProcessorShortage.warning(asked: asked, ranks, launcher: .init(environment))
  }

  @Test func boundRanksAreToldWithTheFix() {
    let mpirun = ["OMPI_COMM_WORLD_SIZE": "2", "SLURM_STEP_ID": "0"]
    let bound = [rank(0..<1), rank(1..<2)]
    #expect(
      warning(bound, mpirun)
        == "rank 0 has 1 thread and is bound to 1 of the 8 processors of a: start mpirun with "
        + "--bind-to none, or --map-by slot:PE=4")
    #expect(warning(bound, ["SLURM_STEP_ID": "0"])?.hasSuffix("srun --cpus-per-task=4") == true)
    #expect(warning(bound, asked: 4, mpirun)?.contains("has 4 threads and is bound to 1") == true)
    #expect(warning([rank(0..<2)])?.contains("taskset") == true)
    // On the second machine only.
    let second = [rank(0..<8), rank(0..<4, on: "b")]
    #expect(warning(second)?.contains("rank 1 has 4 threads and is bound to 4 of the 8") == true)
  }

  @Test func ranksThatTogetherUseAllAreNotTold() {
    #expect(warning([rank(0..<4), rank(4..<8)]) == nil)
    #expect(warning([rank(0..<8)]) == nil)
    #expect(warning([rank(0..<2, quotas: ["/job": 2])]) == nil, "more would not run")
    #expect(
      warning([rank(0..<8)], asked: 9)?.contains("more than the processors available") == true)
    #expect(warning([rank(0..<8)], asked: 8) == nil)
  }
}
