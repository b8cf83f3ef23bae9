import Testing
import Training

@Suite struct StopDeadlineTests {
  @Test func theNearerLimitCounts() throws {
    func nearest(_ limit: Int?, _ slurm: String?) -> StopDeadline? {
      StopDeadline.nearest(
        limit.map { RecipeDuration(seconds: $0) },
        slurm.map { ["SLURM_JOB_END_TIME": $0] } ?? [:], start: 100, now: 110, wallTime: 5000)
    }
    #expect(nearest(nil, nil) == nil)
    // Nonsense, and a job whose time is over, say nothing.
    #expect(nearest(nil, "soon") == nil && nearest(nil, "4000") == nil)
    let recipe = try #require(nearest(60, "6000"))
    #expect(recipe.reason == .timeLimit && recipe.remaining(at: 110) == 50)
    let slurm = try #require(nearest(3600, "5020"))
    #expect(slurm.reason == .slurmLimit && slurm.remaining(at: 115) == 15)
  }

  @Test func savingAndTheNextStepMustFit() {
    let deadline = StopDeadline(.timeLimit, after: 1000, from: 0)
    // Nothing is known of saving: a minute.
    #expect(!deadline.isDue(at: 939, before: 0, savingTakes: nil))
    #expect(deadline.isDue(at: 940, before: 0, savingTakes: nil))
    #expect(!deadline.isDue(at: 900, before: 39, savingTakes: nil))
    #expect(deadline.isDue(at: 900, before: 40, savingTakes: nil))
    // Twice the longest save and 5 s.
    #expect(!deadline.isDue(at: 954, before: 0, savingTakes: 20))
    #expect(deadline.isDue(at: 955, before: 0, savingTakes: 20))
    // Of a short time only a part is kept.
    let short = StopDeadline(.timeLimit, after: 10, from: 0)
    #expect(short.reserve(savingTakes: nil) == 1 && short.reserve(savingTakes: 0.25) == 1)
  }

  @Test func reasonsAreSaidForPeople() {
    #expect("\(StopReason.timeLimit)" == "run.time_limit")
  }

  @Test func aProcessInAnAllocationIsMistakenForOneThatSrunStarted() throws {
    let allocation = ["SLURM_NODELIST": "n[1-2]", "SLURM_JOB_ID": "7"]
    #expect(try !Ranks.isMistakenForAStep([:]))
    #expect(try Ranks.isMistakenForAStep(allocation))
    for server in ["OMPI_COMM_WORLD_SIZE", "PMIX_RANK", "PMI_RANK", "PMI_FD"] {
      #expect(try !Ranks.isMistakenForAStep(allocation.merging([server: "1"]) { $1 }))
    }
    let step = allocation.merging(["SLURM_STEP_ID": "0", "SLURM_STEP_NUM_TASKS": "1"]) { $1 }
    #expect(try Ranks.isMistakenForAStep(step))
    #expect(throws: TrainingError.self) {
      try Ranks.isMistakenForAStep(step.merging(["SLURM_STEP_NUM_TASKS": "3"]) { $1 })
    }
    // An interactive shell of a larger job: what is started in it by hand is alone.
    #expect(try Ranks.isMistakenForAStep(allocation.merging(["SLURM_STEP_NUM_TASKS": "3"]) { $1 }))
  }
}
