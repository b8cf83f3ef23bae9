import Foundation

/// A program that a test started, its output going to files.
public final class ChildProcess {
  /// How the program ended and what it said.
  public struct Result {
    /// The exit code, or 128 plus the signal that ended it; -1 when it was killed at its time limit.
    public let code: Int32
    /// What it wrote to standard output.
    public let stdout: String
    /// What it wrote to standard error, and a line about the time limit if it was killed at it.
    public let stderr: String
    /// How long it ran.
    public let seconds: Double

    /// Lines of standard error that report an error.
    public var errorLines: [String] {
      stderr.split(separator: "\n").map(String.init).filter { $0.hasPrefix("error: ") }
    }
  }

  /// How many times longer than usual everything may take: STATEX_TEST_PATIENCE, for a machine that is busy
  /// with other things.
  public static let patience =
    ProcessInfo.processInfo.environment["STATEX_TEST_PATIENCE"].flatMap(Double.init) ?? 1

  /// The program's number.
  public let pid: pid_t
  private let output: String
  private let start = DispatchTime.now().uptimeNanoseconds
  private var status: Int32?

  /// Starts `arguments[0]`.
  ///
  /// - Parameters:
  ///   - arguments: program and arguments; the program is looked up in PATH.
  ///   - directory: where the output goes and temporary files are made.
  ///   - environment: added to this process's own, launcher variables removed.
  /// - Throws: `POSIXError` when the program cannot be started.
  public init(
    _ arguments: [String], directory: String, environment: [String: String] = [:]
  ) throws {
    output = directory + "/output-" + UUID().uuidString.prefix(8)
    var variables = ProcessInfo.processInfo.environment.filter { name, _ in
      !["OMPI_", "PMIX_", "SLURM_", "OPAL_"].contains { name.hasPrefix($0) }
    }
    variables["OMPI_ALLOW_RUN_AS_ROOT"] = "1"
    variables["OMPI_ALLOW_RUN_AS_ROOT_CONFIRM"] = "1"
    variables["TMPDIR"] = directory
    variables.merge(environment) { $1 }
    var actions = posix_spawn_file_actions_t()
    posix_spawn_file_actions_init(&actions)
    defer { posix_spawn_file_actions_destroy(&actions) }
    let flags = O_WRONLY | O_CREAT | O_TRUNC
    posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0)
    posix_spawn_file_actions_addopen(&actions, STDOUT_FILENO, output + ".out", flags, 0o644)
    posix_spawn_file_actions_addopen(&actions, STDERR_FILENO, output + ".err", flags, 0o644)
    // Threads of the test runner block signals, and the mask is inherited.
    var attributes = posix_spawnattr_t()
    posix_spawnattr_init(&attributes)
    defer { posix_spawnattr_destroy(&attributes) }
    var none = sigset_t()
    sigemptyset(&none)
    posix_spawnattr_setsigmask(&attributes, &none)
    posix_spawnattr_setflags(&attributes, Int16(POSIX_SPAWN_SETSIGMASK))
    var argv = arguments.map { strdup($0) }
    var envp = variables.map { strdup("\($0)=\($1)") }
    argv.append(nil)
    envp.append(nil)
    defer { for pointer in argv + envp { free(pointer) } }
    var pid = pid_t()
    let code = posix_spawnp(&pid, arguments[0], &actions, &attributes, argv, envp)
    guard code == 0 else { throw POSIXError(POSIXErrorCode(rawValue: code) ?? .EINVAL) }
    self.pid = pid
  }

  deinit { if status == nil { end() } }

  /// Whether the program has ended.
  public var hasEnded: Bool {
    guard status == nil else { return true }
    var raw: Int32 = 0
    guard waitpid(pid, &raw, WNOHANG) == pid else { return false }
    status = raw & 0x7F == 0 ? raw >> 8 & 0xFF : 128 + raw & 0x7F
    return true
  }

  /// Sends a signal to the program itself.
  public func send(_ signal: Int32) { if !hasEnded { kill(pid, signal) } }

  /// Sends a signal to a process and returns when it has arrived: two that wait together become one.
  public static func deliver(_ signal: Int32, to process: pid_t) {
    kill(process, signal)
    while isRunning(process), isPending(signal, for: process) { usleep(1000) }
  }

  /// Whether that process has a handler for a signal.
  public static func catches(_ signal: Int32, _ process: pid_t) -> Bool {
    isIn("SigCgt:", signal, process)
  }

  private static func isPending(_ signal: Int32, for process: pid_t) -> Bool {
    isIn("ShdPnd:", signal, process)
  }

  /// Whether a signal is in one of the sets that the system tells of a process.
  private static func isIn(_ set: String, _ signal: Int32, _ process: pid_t) -> Bool {
    let status = (try? String(contentsOfFile: "/proc/\(process)/status", encoding: .utf8)) ?? ""
    let line = status.split(separator: "\n").first { $0.hasPrefix(set) }
    let mask = line?.split(whereSeparator: \.isWhitespace).last.flatMap { UInt64($0, radix: 16) }
    return (mask ?? 0) >> UInt64(signal - 1) & 1 == 1
  }

  /// Processes that it started: under mpirun, the ranks.
  public var children: [pid_t] { Self.children(of: pid) }

  /// Processes that a process started.
  public static func children(of pid: pid_t) -> [pid_t] {
    let names = (try? FileManager.default.contentsOfDirectory(atPath: "/proc")) ?? []
    return names.compactMap { pid_t($0) }.filter { status(of: $0)?.parent == pid }
  }

  /// Whether that process exists and is more than an entry that nobody has asked for.
  public static func isRunning(_ process: pid_t) -> Bool {
    status(of: process).map { !["Z", "X"].contains($0.state) } ?? false
  }

  private static func status(of process: pid_t) -> (state: Substring, parent: pid_t)? {
    guard let stat = try? String(contentsOfFile: "/proc/\(process)/stat", encoding: .utf8),
      let close = stat.lastIndex(of: ")")
    else { return nil }
    let fields = stat[stat.index(after: close)...].split(separator: " ")
    guard fields.count > 1, let parent = pid_t(fields[1]) else { return nil }
    return (fields[0], parent)
  }

  /// Ends it and its children at once, with SIGKILL.
  public func end() {
    let all = children + [pid]
    if !hasEnded { for process in all { kill(process, SIGKILL) } }
    while !hasEnded { usleep(1000) }
  }

  /// Waits for the end; what takes longer than `limit` seconds, times `patience`, is killed.
  public func wait(limit: Double = 60) -> Result {
    while !hasEnded {
      if seconds > limit * Self.patience {
        end()
        return Result(
          code: -1, stdout: text(".out"),
          stderr: text(".err") + "\nkilled: it did not end in \(limit * Self.patience) s\n",
          seconds: seconds)
      }
      usleep(1000)
    }
    return Result(
      code: status ?? -1, stdout: text(".out"), stderr: text(".err"), seconds: seconds)
  }

  /// Waits until `condition` holds or the program has ended.
  public func wait(until condition: () -> Bool) {
    while !condition() && !hasEnded && seconds < 60 * Self.patience { usleep(1000) }
  }

  /// What it has written to standard error so far.
  public var errorOutput: String { text(".err") }

  private var seconds: Double { Double(DispatchTime.now().uptimeNanoseconds - start) * 1e-9 }

  private func text(_ suffix: String) -> String {
    String(
      decoding: FileManager.default.contents(atPath: output + suffix) ?? Data(), as: UTF8.self)
  }
}

/// A directory that is removed with its owner.
public final class TemporaryDirectory {
  /// Where it is.
  public let path: String

  /// Makes a new one.
  ///
  /// - Throws: what the system says when it cannot.
  public init() throws {
    path =
      URL(fileURLWithPath: NSTemporaryDirectory()).resolvingSymlinksInPath().path + "/statex-"
      + UUID().uuidString.prefix(8)
    try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true)
  }

  deinit { try? FileManager.default.removeItem(atPath: path) }
}
