import ChildPrograms
import Foundation

/// All inputs of some parsers, tried in child processes: a crash costs the one input that caused it.
final class Campaign {
  /// What is tried, and how.
  struct Options {
    var parsers: [FuzzTarget] = []
    var inputs = 100_000
    var seed: UInt64 = 1
    var output = ".build/fuzz"
    var jobs = 2
    /// Findings after which a parser is given up.
    var mostFindings = 20
  }

  /// Inputs of a process.
  private static let batchCount = 10_000
  /// Seconds without an input after which a process hangs, whatever its processor time.
  private static let patience = 60.0

  private let options: Options
  private let findings: Findings
  private let directory: TemporaryDirectory
  private var waiting: ArraySlice<FuzzTarget>
  private var running: [Run] = []

  /// A parser at work.
  private final class Run {
    let target: FuzzTarget
    let page: SharedPage
    let pagePath: String
    let count: Int
    let start = DispatchTime.now().uptimeNanoseconds
    var (first, end) = (0, 0)
    var found = 0
    var child: ChildProcess?
    var moved = (index: -1, time: DispatchTime.now().uptimeNanoseconds)

    init(_ target: FuzzTarget, count: Int, pagePath: String) throws {
      (self.target, self.count, self.pagePath) = (target, count, pagePath)
      page = try SharedPage(pagePath)
    }
  }

  init(_ options: Options) throws {
    self.options = options
    waiting = options.parsers[...]
    findings = Findings(directory: options.output)
    let memory = "/dev/shm"
    if FileManager.default.isWritableFile(atPath: memory) { setenv("TMPDIR", memory, 1) }
    directory = try TemporaryDirectory()
    try? FileManager.default.removeItem(atPath: options.output)
  }

  /// Tries everything and returns what was found.
  func run() throws -> [String] {
    while !waiting.isEmpty || !running.isEmpty {
      while running.count < options.jobs, let target = waiting.popFirst() {
        let run = try Run(
          target, count: max(options.inputs / target.cost, 1),
          pagePath: directory.path + "/" + target.name)
        try startChild(run, at: 0)
        running.append(run)
      }
      usleep(2000)
      for run in running { try look(at: run) }
      running.removeAll { $0.child == nil }
    }
    return findings.lines
  }

  private func startChild(_ run: Run, at first: Int) throws {
    run.first = first
    run.end = min(first + Self.batchCount, run.count)
    run.page.index = first - 1
    run.child = try ChildProcess(
      [
        CommandLine.arguments[0], "--child", run.target.name, "\(first)", "\(run.end)",
        "\(options.seed)", options.output, run.pagePath,
      ],
      directory: directory.path)
  }

  private func look(at run: Run) throws {
    guard let child = run.child else { return }
    let now = DispatchTime.now().uptimeNanoseconds
    if run.page.index != run.moved.index { run.moved = (run.page.index, now) }
    if Double(now - run.moved.time) * 1e-9 > Self.patience { child.end() }
    guard child.hasEnded else { return }
    let result = child.wait()
    var next = run.end
    if result.code != 0 {
      // A process that fails before its first input would do so for ever.
      next = run.page.index >= run.first ? run.page.index + 1 : run.count
      run.found += 1
      try findings.add(
        run.target.name, index: run.page.index, seed: options.seed, input: run.page.input,
        problem: Self.problem(result))
    }
    if next < run.count, run.found < options.mostFindings { return try startChild(run, at: next) }
    run.child = nil
    let seconds = Double(now - run.start) * 1e-9
    print(
      "\(run.target.name): \(run.page.accepted) taken, \(run.page.refused) refused in "
        + String(format: "%.1f s", seconds))
    fflush(nil)
  }

  private static func problem(_ result: ChildProcess.Result) -> String {
    let last = result.stderr.split(separator: "\n").first { $0.contains("rror") } ?? ""
    let reason =
      switch result.code {
      case 128 + SIGPROF: "took more than its processor time"
      case 128 + SIGKILL, -1: "hung, or was killed"
      case 129...: "crashed with signal \(result.code - 128)"
      default: "ended its process with \(result.code)"
      }
    return last.isEmpty ? reason : reason + ": " + last.prefix(300)
  }
}
