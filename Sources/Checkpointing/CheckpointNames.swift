/// The names inside a run's `checkpoints` directory.
enum CheckpointName: Equatable {
  /// `step-00001000`: a committed checkpoint.
  case committed(step: Int)

  /// `step-00001000.replaced`: a committed checkpoint that waits for its replacement to take its
  /// name. It counts as committed while the other name is missing.
  case replaced(step: Int)

  /// `step-00001000.partial-<run id>`: a save that is under way, or was interrupted.
  case partial(step: Int, runID: String)

  /// `step-00001000.damaged`: a committed checkpoint that did not verify when a run was resumed.
  case damaged(step: Int)

  /// `step-00001000.aside-1`: a committed checkpoint from which the run did not go on, because it was
  /// told to go on from an older one; numbered from 1.
  case aside(step: Int, number: Int)

  /// `step-00001000.deleting`: on its way out.
  case deleting(step: Int)

  /// Reads a name; nil if it is none of these.
  init?(_ name: String) {
    guard name.hasPrefix("step-") else { return nil }
    let parts = name.dropFirst(5).split(
      separator: ".", maxSplits: 1, omittingEmptySubsequences: false)
    guard let digits = parts.first, digits.utf8.allSatisfy({ (0x30...0x39).contains($0) }),
      let step = Int(digits), zeroPadded(step, 8) == digits
    else { return nil }
    let suffix = parts.count == 2 ? parts[1] : ""
    if parts.count == 1 {
      self = .committed(step: step)
    } else if suffix == "replaced" {
      self = .replaced(step: step)
    } else if suffix == "damaged" {
      self = .damaged(step: step)
    } else if suffix == "deleting" {
      self = .deleting(step: step)
    } else if suffix.hasPrefix("aside-") {
      guard let number = Int(suffix.dropFirst(6)), number >= 1 else { return nil }
      self = .aside(step: step, number: number)
    } else if suffix.hasPrefix("partial-") {
      self = .partial(step: step, runID: String(suffix.dropFirst(8)))
    } else {
      return nil
    }
  }

  /// The directory's name.
  var text: String {
    switch self {
    case .committed(let step): "step-" + zeroPadded(step, 8)
    case .replaced(let step): "step-" + zeroPadded(step, 8) + ".replaced"
    case .partial(let step, let runID): "step-" + zeroPadded(step, 8) + ".partial-" + runID
    case .damaged(let step): "step-" + zeroPadded(step, 8) + ".damaged"
    case .aside(let step, let number): "step-" + zeroPadded(step, 8) + ".aside-\(number)"
    case .deleting(let step): "step-" + zeroPadded(step, 8) + ".deleting"
    }
  }
}
