import Foundation

/// What a rank is doing, as it tells others.
package struct RankState: Sendable, Equatable {
  package var phase = RunPhase.starting
  package var step = 0
  package var secondsInPhase = 0
  package var secondsWithoutProgress = 0
  package var progress = RankProgress(count: 0)
  /// Processes that its host's kernel has killed for lack of memory.
  package var memoryKills = 0

  /// Nothing done yet.
  package init() {}

  init(
    phase: RunPhase, step: Int, secondsInPhase: Int, secondsWithoutProgress: Int,
    progress: RankProgress, memoryKills: Int
  ) {
    (self.phase, self.step, self.secondsInPhase) = (phase, step, secondsInPhase)
    (self.secondsWithoutProgress, self.progress) = (secondsWithoutProgress, progress)
    self.memoryKills = memoryKills
  }

  /// For the end of `rank 3 on host b `.
  var sentence: String {
    var text = "\(phase) in step \(step) for \(secondsInPhase) s"
    if !progress.call.isEmpty {
      text +=
        progress.isInCall ? ", waiting in \(progress.call)" : ", last exchange \(progress.call)"
      if progress.callBytes > 0 { text += " of \(progress.callBytes) bytes" }
    }
    return text
  }
}

/// What the kernel has killed for lack of memory since it started.
enum MemoryKills {
  /// Their number; 0 where the kernel does not say.
  static var count: Int {
    guard let text = try? String(contentsOfFile: "/proc/vmstat", encoding: .utf8) else { return 0 }
    let line = text.split(separator: "\n").first { $0.hasPrefix("oom_kill ") }
    return line.flatMap { Int($0.dropFirst(9)) } ?? 0
  }
}

/// A message between a rank and the lead: always of the same size.
package struct WatchFrame: Equatable {
  package enum Kind: UInt8 {
    /// A rank's first word, and the lead's answer; `text` is the host, `number` the process.
    case hello = 1
    case welcome
    /// Still there.
    case beat
    /// The lead wants to know at once.
    case report
    /// Ends well, or with an error that it has told already; then nobody else has to say more.
    case leave, abort
    /// The lead ends everybody, with exit code `number`.
    case end

    /// Whether it tells who sends it.
    var names: Bool { self == .hello || self == .welcome }
  }

  package static let byteCount = 160
  private static let magic: UInt64 = 0x5354_5857_4154_4348
  private static let textCount = 64

  package var kind: Kind
  package var token: WatchToken
  package var rank: Int
  /// A process number, or an exit code.
  package var number = 0
  package var text = ""
  package var state = RankState()

  /// The frame as it travels.
  package var bytes: [UInt8] {
    var bytes: [UInt8] = []
    bytes.reserveCapacity(Self.byteCount)
    func put(_ value: UInt64) { withUnsafeBytes(of: value.littleEndian) { bytes += $0 } }
    func put(_ value: Int) { put(UInt64(bitPattern: Int64(value))) }
    put(Self.magic)
    put(token.high)
    put(token.low)
    put(
      Int(kind.rawValue) | Int(state.phase.rawValue) << 8 | (state.progress.isInCall ? 1 << 16 : 0))
    put(rank)
    put(number)
    put(state.step)
    put(state.secondsInPhase << 32 | state.secondsWithoutProgress)
    put(state.progress.count)
    put(state.progress.callBytes)
    put(state.memoryKills)
    let words = kind.names ? text : state.progress.call
    bytes += words.utf8.prefix(Self.textCount)
    return bytes + [UInt8](repeating: 0, count: Self.byteCount - bytes.count)
  }

  package init(_ kind: Kind, _ token: WatchToken, rank: Int) {
    (self.kind, self.token, self.rank) = (kind, token, rank)
  }

  /// Reads a frame; nil if it is none.
  package init?(_ bytes: some Collection<UInt8>) {
    guard bytes.count == Self.byteCount else { return nil }
    let bytes = Array(bytes)
    func word(_ index: Int) -> UInt64 {
      bytes[(index * 8)..<(index * 8 + 8)].reversed().reduce(0) { $0 << 8 | UInt64($1) }
    }
    func number(_ index: Int) -> Int { Int(Int64(bitPattern: word(index))) }
    guard word(0) == Self.magic, let kind = Kind(rawValue: UInt8(word(3) & 0xFF)),
      let phase = RunPhase(rawValue: UInt8(word(3) >> 8 & 0xFF))
    else { return nil }
    self.init(kind, WatchToken(high: word(1), low: word(2)), rank: number(4))
    self.number = number(5)
    let text = String(decoding: bytes[88..<(88 + Self.textCount)].prefix { $0 != 0 }, as: UTF8.self)
    if kind.names { self.text = text }
    state = RankState(
      phase: phase, step: number(6), secondsInPhase: number(7) >> 32,
      secondsWithoutProgress: number(7) & 0xFFFF_FFFF,
      progress: RankProgress(
        count: number(8), call: kind.names ? "" : text, callBytes: number(9),
        isInCall: word(3) >> 16 & 1 == 1), memoryKills: number(10))
  }
}

/// What a run's messages carry, so that no other program's are taken for them.
package struct WatchToken: Sendable, Equatable {
  package var high: UInt64
  package var low: UInt64

  init(high: UInt64, low: UInt64) { (self.high, self.low) = (high, low) }

  /// A new one.
  package static func random() -> WatchToken {
    WatchToken(high: .random(in: 0 ... .max), low: .random(in: 0 ... .max))
  }
}
