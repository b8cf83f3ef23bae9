/// What the lead knows of all ranks, and what it concludes from it.
///
/// Times are seconds of the lead's own clock.
package struct RankTable {
  /// What is wrong.
  package enum Verdict: Equatable {
    /// Nothing was heard of a rank for that many seconds.
    case silent(rank: Int, seconds: Int)
    /// A rank's process ended without a word.
    case ended(rank: Int)
    /// All ranks are there, and none has done anything for that many seconds.
    case hang(seconds: Int)
  }

  /// A rank, as far as it is known.
  struct Member {
    var host = ""
    var process = 0
    var state = RankState()
    var heard = 0.0
    /// `state.memoryKills` when it was first heard.
    var killsBefore: Int?
    /// It is there from its first beat on: a rank may have to try several addresses.
    var presence = Presence.unknown
  }

  enum Presence: Equatable {
    case unknown, there
    /// Gone with a word, or without one.
    case left
    case lost(since: Double)
  }

  private(set) var members: [Member]
  /// A rank has said that it ends the job: everything that follows is the end.
  package private(set) var isEnding = false
  private let limit: Double

  /// How long a process that vanished is waited for: ranks that are being ended vanish too.
  static let grace = 0.3
  /// No progress is a hang after so many times the limit of silence.
  static let patience = 4.0

  /// Ranks `0 ..< size`, silence of `limit` seconds being too long.
  package init(size: Int, limit: Double) {
    members = Array(repeating: Member(), count: size)
    self.limit = limit
  }

  /// Ranks that were never heard.
  package var unknown: [Int] { members.indices.filter { members[$0].presence == .unknown } }

  /// Takes in a message.
  package mutating func hear(_ frame: WatchFrame, at now: Double) {
    guard members.indices.contains(frame.rank) else { return }
    members[frame.rank].heard = now
    switch frame.kind {
    case .hello:
      members[frame.rank].host = frame.text
      members[frame.rank].process = frame.number
    case .beat:
      members[frame.rank].presence = .there
      members[frame.rank].state = frame.state
      let before = members[frame.rank].killsBefore
      members[frame.rank].killsBefore = before ?? frame.state.memoryKills
    case .leave: members[frame.rank].presence = .left
    case .abort: isEnding = true
    case .welcome, .report, .end: break
    }
  }

  /// Notes that a rank's connection was closed from its side.
  package mutating func lose(_ rank: Int, at now: Double) {
    if members[rank].presence == .there { members[rank].presence = .lost(since: now) }
  }

  /// What is wrong, if anything.
  package func verdict(at now: Double) -> Verdict? {
    guard !isEnding else { return nil }
    for (rank, member) in members.enumerated() {
      if case .lost(let since) = member.presence, now - since >= Self.grace {
        return .ended(rank: rank)
      }
    }
    for (rank, member) in members.enumerated()
    where member.presence == .there && now - member.heard >= limit {
      return .silent(rank: rank, seconds: Int(now - member.heard))
    }
    let idle = members.map { member in
      member.presence == .there && member.state.phase.isPureComputation
        ? member.state.secondsWithoutProgress : 0
    }
    let least = idle.min() ?? 0
    return Double(least) >= Self.patience * limit ? .hang(seconds: least) : nil
  }

  /// A rank, its host and process.
  private func name(_ rank: Int) -> String {
    "rank \(rank) on \(members[rank].host) (process \(members[rank].process))"
  }

  /// The verdict as a sentence.
  package func sentence(_ verdict: Verdict) -> String {
    switch verdict {
    case .silent(let rank, let seconds):
      return "\(name(rank)) has been silent for \(seconds) s; last known: "
        + members[rank].state.sentence
    case .ended(let rank):
      let isShort = members.contains { member in
        member.host == members[rank].host
          && member.state.memoryKills > member.killsBefore ?? .max
      }
      return "\(name(rank)) ended without a word; last known: " + members[rank].state.sentence
        + (isShort ? "; the kernel of its host has killed a process for lack of memory" : "")
    case .hang(let seconds):
      return "no rank has made progress for \(seconds) s: " + odd
    }
  }

  /// Who waits for what, the rarest first.
  private var odd: String {
    let groups = Dictionary(grouping: members.indices) { rank in
      let progress = members[rank].state.progress
      return (progress.isInCall ? "waits in " : "does not wait, after ")
        + "\(progress.call) of \(progress.callBytes) bytes in step \(members[rank].state.step)"
    }
    let sorted = groups.sorted { ($0.value.count, $0.key) < ($1.value.count, $1.key) }
    return sorted.prefix(3).map { what, ranks in
      ranks.count == 1 ? "\(name(ranks[0])) \(what)" : "\(ranks.count) ranks: \(what)"
    }.joined(separator: ", ")
  }

  /// A line for each rank.
  package func lines(at now: Double) -> [String] {
    members.enumerated().map { rank, member in
      let heard =
        switch member.presence {
        case .unknown: "never heard"
        case .left: "left"
        case .lost: "ended"
        case .there: "heard \(Int(now - member.heard)) s ago"
        }
      return "rank \(rank)  \(member.host)  process \(member.process)  \(heard)  "
        + "\(member.state.sentence)  no progress for \(member.state.secondsWithoutProgress) s"
    }
  }
}
