import Fields

extension Recipe {
  /// What counts as a spike, and what a run does then.
  ///
  /// A loss or gradient norm that is not finite is always one. Unless `policy` is `off`, so is a loss that
  /// lies far above those of the steps before.
  public struct OnSpike: Sendable, Equatable, FieldSection {
    /// What a run does.
    public enum Policy: String, Sendable, Equatable, CaseIterable {
      /// Looks at no deviations, and ends where numbers are not finite.
      case off
      /// Leaves the step's update out.
      case skip
      /// Goes back to a checkpoint and leaves out the batches since.
      case rollBack = "roll_back"
      /// Ends.
      case stop
    }

    /// Default `off`.
    public var policy = Policy.off
    /// Steps before, without spikes, whose losses a step's loss is compared with; default 100.
    public var window = 100
    /// Standard deviations above their mean from which on a loss is a spike; default 6.
    public var threshold = 6.0
    /// Spikes among the last `window` steps after which the next one ends the run; default 10.
    public var limit = 10
    /// Steps that lie at least between a spike and the checkpoint that the run goes back to; default 10.
    public var stepsBack = 10

    package static var fields: [Field<OnSpike>] {
      [
        .choice(
          "policy", \.policy, standard: "`off`",
          "what a run does about a spike; `off` ends it where numbers are not finite"),
        .integer(
          "window", \.window, .between(2, 10_000), unit: "steps", standard: "100",
          "steps before whose losses are compared"),
        .number(
          "threshold", \.threshold, .above(0), unit: "standard deviations", standard: "6",
          "how far above their mean a spike is"),
        .integer(
          "limit", \.limit, .atLeast(0), unit: "spikes", standard: "10",
          "spikes within `window` steps that the run goes on after"),
        .integer(
          "steps_back", \.stepsBack, .atLeast(1), unit: "steps", standard: "10",
          "least distance of the checkpoint that `roll_back` takes"),
      ]
    }
  }
}
