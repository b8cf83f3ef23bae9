import Checkpointing
import Fields
import Kernels
import ProgramVersion

/// What a run's bits may depend on beside its recipe: the program, its libraries, and how it was started.
package struct RunEnvironment: Equatable {
  /// Its names, with what they are here.
  package var entries: [(name: String, value: String)]

  /// Where reproducible sums make the bits independent of an entry.
  private static let counts = ["ranks", "threads"]

  /// Names the entries.
  package init(_ entries: [(name: String, value: String)]) { self.entries = entries }

  /// That of this process.
  init(products: ProductPrecision, ranks: Ranks, threads: Int) {
    let library = ranks.communicator.library.split(separator: ",").first.map(String.init) ?? ""
    entries = [
      ("statex", programVersion), ("OpenBLAS", blasDescription()),
      ("products", products.description), ("MPI", library), ("ranks", "\(ranks.size)"),
      ("threads", "\(threads)"),
    ]
  }

  /// What checkpoints recorded before they had an environment of their own.
  init(_ creation: CheckpointCreation) {
    entries = [("ranks", "\(creation.ranks)")]
    if let openBLAS = creation.openBLAS { entries.append(("OpenBLAS", openBLAS)) }
    if let products = creation.products { entries.append(("products", products)) }
  }

  /// The value of that name.
  subscript(name: String) -> String? { entries.first { $0.name == name }?.value }

  package static func == (a: RunEnvironment, b: RunEnvironment) -> Bool {
    a.entries.elementsEqual(b.entries, by: ==)
  }

  /// What is another now, and what that means; one line each.
  ///
  /// - Parameters:
  ///   - now: the environment of the run that goes on.
  ///   - step: the step after which it does.
  ///   - isReproducible: whether sums run in one fixed order.
  /// - Returns: the lines.
  package func notes(
    now: RunEnvironment, after step: Int, isReproducible: Bool
  ) -> [RunNote] {
    let changes = RunChange.between(entries, now.entries, onlyKnown: true)
    let isHarmless = { (change: RunChange) in isReproducible && Self.counts.contains(change.name) }
    var notes: [RunNote] = []
    let harmless = changes.filter(isHarmless)
    if !harmless.isEmpty {
      notes.append(
        .information(
          "changed since step \(step): \(RunChange.text(harmless)); the bits stay the same"))
    }
    let others = changes.filter { !isHarmless($0) }
    if !others.isEmpty {
      notes.append(
        .warning(
          "changed since step \(step): \(RunChange.text(others)); the bits of later steps may differ "
            + "from those of an uninterrupted run"))
    }
    return notes
  }
}

/// Something that is another than before.
struct RunChange: Equatable {
  let name: String
  let (was, now): (String?, String?)

  /// What differs between two lists of names and values.
  ///
  /// - Parameters:
  ///   - was: the one of before.
  ///   - now: the one of now.
  ///   - onlyKnown: whether to leave out what stands in one of them only.
  /// - Returns: the differences, in the order of the names.
  static func between(
    _ was: [(name: String, value: String)], _ now: [(name: String, value: String)],
    onlyKnown: Bool = false
  ) -> [RunChange] {
    let added = now.map(\.name).filter { name in !was.contains { $0.name == name } }
    return (was.map(\.name) + added).compactMap { name in
      let (old, new) = (
        was.first { $0.name == name }?.value, now.first { $0.name == name }?.value
      )
      if old == new || (onlyKnown && (old == nil || new == nil)) { return nil }
      return RunChange(name: name, was: old, now: new)
    }
  }

  /// Some of them on one line.
  static func text(_ changes: [RunChange]) -> String {
    let most = 12
    let texts = changes.prefix(most).map {
      "\($0.name) \($0.was ?? "nothing") -> \($0.now ?? "nothing")"
    }
    let more = changes.count > most ? ["\(changes.count - most) more"] : []
    return (texts + more).joined(separator: ", ")
  }
}

extension Recipe {
  /// Every key with its value as text, but where the run lies: what a checkpoint records.
  package var settings: [(name: String, value: String)] {
    Self.leaves(of: value, path: "").filter { $0.name != "run.output" }
  }

  private static func leaves(
    of value: FieldValue, path: String
  ) -> [(name: String, value: String)] {
    func below(_ key: String) -> String { path.isEmpty ? key : "\(path).\(key)" }
    return switch value.kind {
    case .mapping(let entries) where !entries.isEmpty:
      entries.flatMap { leaves(of: $0.value, path: below($0.key)) }
    case .list(let elements)
    where elements.contains { if case .mapping = $0.kind { true } else { false } }:
      elements.enumerated().flatMap { leaves(of: $1, path: below("\($0)")) }
    default: [(path, value.oneLine)]
    }
  }

  /// What in the recipe is another than a checkpoint recorded, one line each.
  package func notes(since settings: [(name: String, value: String)], _ step: Int) -> [RunNote] {
    guard !settings.isEmpty else { return [] }
    let changes = RunChange.between(settings, self.settings)
    let isHarmless = { (change: RunChange) in
      // Token files are known by their contents.
      change.name.hasSuffix(".tokens")
        || Self.harmless.contains { change.name == $0 || change.name.hasPrefix($0 + ".") }
    }
    return [
      (changes.filter { !isHarmless($0) }, "the numbers of later steps may depend on that"),
      (changes.filter(isHarmless), "no number of later steps depends on that"),
    ].compactMap { changes, meaning in
      guard !changes.isEmpty else { return nil }
      return .information("changed since step \(step): \(RunChange.text(changes)); \(meaning)")
    }
  }

  /// Keys and sections on which no loss and no weight depends.
  private static let harmless = [
    "run.name", "run.time_limit", "run.watchdog", "train.memory_budget", "train.scratch",
    "parallel.threads_per_rank", "parallel.optimizer_sharding", "parallel.overlap",
    "parallel.verify_every", "checkpoint", "evaluation", "metrics",
  ]
}
