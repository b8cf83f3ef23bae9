import ErrorReporting
import Evaluation
import Fields
import Files
import Foundation

/// Inputs of one parser, tried one after the other in this process.
struct Batch {
  /// What bounds an input.
  struct Limits {
    /// Seconds of processor time.
    var seconds = 1.0
    /// Bytes of memory above those that the process had before.
    var bytes = 512 << 20
    /// Bytes that a batch may leave behind.
    var leftBytes = 64 << 20
    /// Bytes of an error's line.
    var line = 4096
  }

  let target: FuzzTarget
  let seed: UInt64
  let range: Range<Int>
  let findings: Findings
  let page: SharedPage
  var limits = Limits()
  /// How often each problem was met.
  private var known: [String: Int] = [:]
  /// Inputs that are kept of one problem.
  private static let mostKept = 3

  /// Names the parts.
  init(
    target: FuzzTarget, seed: UInt64, range: Range<Int>, findings: Findings, page: SharedPage
  ) {
    (self.target, self.seed, self.range) = (target, seed, range)
    (self.findings, self.page) = (findings, page)
  }

  /// Tries the inputs; a crash or hang ends the process, whose page tells which input it was.
  mutating func run(below parent: String) throws {
    let room = try FuzzRoom(below: parent)
    defer { room.remove() }
    let prepared = try target.prepare(room)
    for input in prepared.corpus {
      do { try prepared.parse(input) } catch {
        throw WrongResult(description: "a valid input: \(error)")
      }
    }
    limitAddresses()
    var mutator = Mutator(prepared)
    var (peak, before) = (Memory.peak, 0)
    let kept = range.lowerBound == 0 ? try keptInputs(target.name) : []
    for number in (range.lowerBound - kept.count)..<range.upperBound {
      let index = max(number, range.lowerBound)
      var input =
        number < range.lowerBound
        ? kept[number - range.lowerBound + kept.count]
        : mutator.input(seed: seed, parser: target.name, index: index)
      prepared.mend(&input)
      (page.index, page.input) = (index, input)
      if let problem = problem(input, prepared, room) { try keep(index, input, problem) }
      if Memory.peak - peak > limits.bytes {
        try keep(index, input, "took \((Memory.peak - peak) >> 20) MB of memory")
        peak = Memory.peak
      }
      if index == range.lowerBound + range.count / 4 { before = Memory.resident }
    }
    let left = Memory.resident - before
    if range.count >= 1000, left > limits.leftBytes {
      try keep(range.upperBound, [], "the batch from \(range.lowerBound) on left \(left >> 20) MB")
    }
  }

  /// Tries given inputs, for whoever looks for the cause.
  static func replay(_ target: FuzzTarget, _ paths: [String], below parent: String) throws {
    let room = try FuzzRoom(below: parent)
    defer { room.remove() }
    let prepared = try target.prepare(room)
    for path in paths {
      let input = [UInt8](try Data(contentsOf: URL(fileURLWithPath: path)))
      do {
        try prepared.parse(input)
        print("\(path): taken")
      } catch {
        print("\(path): \(FailureReport(error).exitCode): \(FailureReport(error).line)")
      }
    }
  }

  private mutating func keep(_ index: Int, _ input: [UInt8], _ problem: String) throws {
    known[problem, default: 0] += 1
    guard known[problem] ?? 0 <= Self.mostKept else { return }
    try findings.add(target.name, index: index, seed: seed, input: input, problem: problem)
  }

  /// What is wrong with what the parser did; nil if nothing is.
  private func problem(
    _ input: [UInt8], _ prepared: FuzzTarget.Prepared, _ room: FuzzRoom
  ) -> String? {
    var failure: (any Error)?
    startTimer(limits.seconds)
    room.guarding {
      do { try prepared.parse(input) } catch { failure = error }
    }
    startTimer(0)
    if let stray = room.stray { return "touched \(stray)" }
    guard let failure else {
      page.accepted += 1
      return nil
    }
    page.refused += 1
    return Self.problem(failure, longest: limits.line)
  }

  /// What is wrong with an error: a type that is not ours, or a line that is none.
  private static func problem(_ error: any Error, longest: Int) -> String? {
    let line: String
    switch error {
    case let error as any UserFacingError where [64, 65, 74].contains(error.exitCode):
      line = FailureReport(error).line
    case let error as FieldError: line = error.description
    case let error as RequestError: line = error.problem
    case let error as LocalAddress.Problem: line = error.description
    default: return "ended with \(type(of: error)): \(String("\(error)".prefix(200)))"
    }
    if line.utf8.count > longest { return "an error of \(line.utf8.count) bytes" }
    let isControl = { (scalar: Unicode.Scalar) in scalar.value < 0x20 || scalar.value == 0x7F }
    if line.unicodeScalars.contains(where: isControl) { return "an error with control characters" }
    return nil
  }

  /// Ends the process with SIGPROF after so much processor time; 0 for never.
  private func startTimer(_ seconds: Double) {
    let whole = Int(seconds)
    var timer = itimerval()
    timer.it_value = timeval(tv_sec: whole, tv_usec: Int((seconds - Double(whole)) * 1e6))
    setitimer(__itimer_which_t(ITIMER_PROF.rawValue), &timer, nil)
  }

  /// Makes what is asked of the system without bounds a crash.
  private func limitAddresses() {
    guard getenv("FUZZ_NO_ADDRESS_LIMIT") == nil else { return }
    var limit = rlimit()
    limit.rlim_cur = rlim_t(Memory.addresses + 8 << 30)
    limit.rlim_max = limit.rlim_cur
    setrlimit(__rlimit_resource_t(RLIMIT_AS.rawValue), &limit)
  }
}

/// What this process takes, in bytes.
enum Memory {
  /// The most that was resident at a time.
  static var peak: Int {
    var usage = rusage()
    getrusage(__rusage_who_t(RUSAGE_SELF.rawValue), &usage)
    return usage.ru_maxrss << 10
  }

  /// What is resident.
  static var resident: Int { statm(1) }

  /// What is addressed.
  static var addresses: Int { statm(0) }

  private static func statm(_ place: Int) -> Int {
    let text = (try? String(contentsOfFile: "/proc/self/statm", encoding: .utf8)) ?? ""
    let fields = text.split(separator: " ")
    return place < fields.count ? (Int(fields[place]) ?? 0) * Int(sysconf(Int32(_SC_PAGESIZE))) : 0
  }
}
