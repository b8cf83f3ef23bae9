import Foundation

/// The program that has started this process.
///
/// Open MPI's mpirun waits for ever for its helper on a host that is cut off: nobody else can end it.
public enum Launcher {
  private static let names = ["mpirun", "mpiexec", "orterun", "prterun"]

  /// `POSIX_SPAWN_SETSID`, which Glibc's module leaves out.
  private static let newSession: Int16 = 0x80

  /// Ends mpirun a few seconds from now, if it has started this process and has not ended by then.
  ///
  /// A process of its own does so, for this one is about to end.
  ///
  /// - Parameter seconds: how long to wait.
  public static func endLater(after seconds: Int = 5) {
    let parent = getppid()
    guard names.contains(name(of: parent)) else { return }
    let script = """
      is_there() { case "$(cat /proc/$0/comm 2>/dev/null)" in \(names.joined(separator: "|"))) ;; *) exit ;; esac; }
      sleep \(seconds); is_there; kill -TERM $0; sleep 3; is_there; kill -KILL $0
      """
    var actions = posix_spawn_file_actions_t()
    posix_spawn_file_actions_init(&actions)
    defer { posix_spawn_file_actions_destroy(&actions) }
    for descriptor in [STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO] {
      posix_spawn_file_actions_addopen(&actions, descriptor, "/dev/null", O_RDWR, 0)
    }
    // mpirun ends the processes of this one's session.
    var attributes = posix_spawnattr_t()
    posix_spawnattr_init(&attributes)
    defer { posix_spawnattr_destroy(&attributes) }
    var none = sigset_t()
    sigemptyset(&none)
    posix_spawnattr_setsigmask(&attributes, &none)
    posix_spawnattr_setflags(&attributes, newSession | Int16(POSIX_SPAWN_SETSIGMASK))
    let words: [String] = ["sh", "-c", script, "\(parent)"]
    var arguments = words.map { strdup($0) }
    arguments.append(nil)
    defer { for argument in arguments { free(argument) } }
    var child = pid_t()
    _ = posix_spawn(&child, "/bin/sh", &actions, &attributes, &arguments, environ)
  }

  private static func name(of process: pid_t) -> String {
    let text = try? String(contentsOfFile: "/proc/\(process)/comm", encoding: .utf8)
    return text?.trimmingCharacters(in: .newlines) ?? ""
  }
}
