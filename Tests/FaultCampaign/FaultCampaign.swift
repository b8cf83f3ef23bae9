import ArgumentParser
import Foundation

/// Breaks runs of the built programs in every way of the list, and counts what held.
@main
struct FaultCampaign: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "fault-campaign",
    abstract: "Break runs in every way of the list and count what held.",
    discussion: """
      Prints a line for each mark and ends with 1 when one is missed. A mark that this machine cannot try is
      skipped with the reason, and does not count as passed.
      """)

  @Option(help: "What everything that is left to chance follows from.")
  var seed: UInt64 = 1

  @Option(help: "Only these marks, for example F1,F10.")
  var only: String?

  @Flag(help: "Fewer trials: minutes instead of half an hour.")
  var short = false

  func run() throws {
    let campaign = Campaign(seed: seed, isShort: short)
    let start = Date()
    var counts = (passed: 0, missed: 0, skipped: 0)
    for mark in try chosen() {
      switch report(mark, outcome(mark, campaign)) {
      case true?: counts.passed += 1
      case false?: counts.missed += 1
      case nil: counts.skipped += 1
      }
    }
    say(
      "\(counts.passed) marks passed, \(counts.missed) missed, \(counts.skipped) not tried"
        + " (seed \(seed), \(Int(Date().timeIntervalSince(start))) s)")
    if counts.missed > 0 { throw ExitCode(1) }
  }

  /// All marks, in the order of the list.
  private static let marks =
    (KillMarks.all + CrashPointMarks.all + DiskMarks.all + SaveMarks.all + DamageMarks.all
    + MisplacementMarks.all + ResumeMarks.all + StopMarks.all + MemoryMarks.all
    + SurroundingsMarks.all + ElsewhereMarks.all).sorted { $0.number < $1.number }

  private func chosen() throws -> [Mark] {
    guard let only else { return Self.marks }
    return try only.split(separator: ",").flatMap { id in
      let marks = Self.marks.filter { $0.id == id }
      guard !marks.isEmpty else {
        let ids = Self.marks.map(\.id).joined(separator: ", ")
        throw ValidationError("no mark \(id); there are \(ids)")
      }
      return marks
    }
  }

  private func outcome(_ mark: Mark, _ campaign: Campaign) -> (Campaign.Outcome, Int) {
    let start = Date()
    let outcome: Campaign.Outcome
    do {
      outcome = try mark.run(campaign)
    } catch {
      outcome = .failed("\(error)")
    }
    return (outcome, Int(Date().timeIntervalSince(start)))
  }

  private func say(_ line: String) {
    print(line)
    // Line by line into a file too.
    fflush(nil)
  }

  /// The beginning and the end of a long text, on one line.
  private static func shortened(_ text: String) -> String {
    let line = text.split(separator: "\n").joined(separator: " | ")
    return line.count <= 1200 ? line : "\(line.prefix(700)) ... \(line.suffix(400))"
  }

  /// Prints a mark's line; true when it passed, nil when it was skipped.
  private func report(_ mark: Mark, _ result: (outcome: Campaign.Outcome, seconds: Int)) -> Bool? {
    switch result.outcome {
    case .skipped(let reason):
      say("\(mark.id) \(mark.title): skipped: \(reason)")
      return nil
    case .elsewhere(let place):
      say("\(mark.id) \(mark.title): not tried here: \(place)")
      return nil
    case .failed(let reason):
      say("\(mark.id) \(mark.title): MISSED: \(reason)")
      return false
    case .tried(let tally):
      let verdict = tally.passes ? "" : "MISSED: "
      say("\(mark.id) \(mark.title): \(verdict)\(tally.text) (\(result.seconds) s)")
      for miss in tally.misses.prefix(5) { say("  \(Self.shortened(miss))") }
      return tally.passes
    }
  }
}
