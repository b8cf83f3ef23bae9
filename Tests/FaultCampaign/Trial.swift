import TensorStorage

/// One injected fault, and what was seen of it.
final class Trial {
  /// A property that the mark asks for.
  struct Finding {
    let property: String
    let holds: Bool
    let detail: String
  }

  /// The mark and the trial's number, for example `F1/17`: it names the trial's files.
  let name: String
  /// Which of the mark's trials.
  let index: Int
  /// Decides everything that is left to chance.
  var random: CounterRandom
  private(set) var findings: [Finding] = []
  private(set) var remarks: [String] = []

  init(mark: String, index: Int, seed: UInt64) {
    name = "\(mark)-\(index)"
    self.index = index
    random = CounterRandom(seed: seed, purpose: "faults/\(mark)", index: UInt64(index))
  }

  /// Notes whether a property holds; every property of a trial has to.
  @discardableResult
  func check(_ property: String, _ holds: Bool, _ detail: @autoclosure () -> String = "") -> Bool {
    findings.append(Finding(property: property, holds: holds, detail: holds ? "" : detail()))
    return holds
  }

  /// Counts something that is worth a number but not a condition.
  func remark(_ what: String) { remarks.append(what) }

  /// Whether something was asked and all of it holds.
  var passes: Bool { !findings.isEmpty && findings.allSatisfy(\.holds) }

  /// One of some choices.
  func pick<Value>(_ choices: [Value]) -> Value { choices[random.below(choices.count)] }
}

/// What the trials of a mark showed.
struct Tally {
  /// How many trials the mark asks for.
  let planned: Int
  private(set) var done = 0
  private(set) var passed = 0
  /// Lines about trials that missed.
  private(set) var misses: [String] = []
  private var properties: [String] = []
  private var asked: [String: Int] = [:]
  private var held: [String: Int] = [:]
  private var remarks: [String: Int] = [:]

  init(planned: Int) { self.planned = planned }

  mutating func add(_ trial: Trial) {
    done += 1
    passed += trial.passes ? 1 : 0
    for finding in trial.findings {
      if asked[finding.property] == nil { properties.append(finding.property) }
      asked[finding.property, default: 0] += 1
      held[finding.property, default: 0] += finding.holds ? 1 : 0
      if !finding.holds {
        misses.append("\(trial.name): not \(finding.property): \(finding.detail)")
      }
    }
    if trial.findings.isEmpty { misses.append("\(trial.name): nothing was checked") }
    for remark in trial.remarks { remarks[remark, default: 0] += 1 }
  }

  /// Whether every planned trial was made and passed.
  var passes: Bool { planned > 0 && done == planned && passed == planned }

  /// The counts as text, a number once for neighbours that share it: `200/200 verified, bit-identical; 187
  /// inside a save`.
  var text: String {
    let numbers = properties.map { "\(held[$0] ?? 0)/\(asked[$0] ?? 0)" }
    let counts = properties.indices.map { index in
      let isSame = index > 0 && numbers[index] == numbers[index - 1]
      return (isSame ? "" : numbers[index] + " ") + properties[index]
    }
    let notes = remarks.sorted { $0.key < $1.key }.map { "\($0.value) \($0.key)" }
    return counts.joined(separator: ", ")
      + (notes.isEmpty ? "" : "; " + notes.joined(separator: ", "))
  }
}
