/// A regular expression compiled for matching UTF-8: leftmost, alternatives in order, greedy.
///
/// Scalars that no set of the pattern tells apart form a *class*; there are at most 64, so a set is a
/// mask of classes and a scalar's class is one load. The pattern itself is a graph of instructions,
/// each with the one that follows. A match backtracks within one repetition, never over the text.
package final class Pattern: @unchecked Sendable {
  /// What the bytes of a text are.
  package enum Alphabet {
    /// UTF-8.
    case text
    /// Each byte is a character: the one that spells it in byte-level vocabularies.
    case bytes
  }

  /// One step of a match.
  struct Instruction {
    enum Kind: UInt8 {
      /// The match ends here.
      case accept
      /// One scalar of the classes in `mask`.
      case set
      /// `least` to `most` of them, as many as possible.
      case repetition
      /// The first of `branches[first ..< first + count]` that matches to the end; `entries[table + c]`
      /// is the number of the first that can begin with class c.
      case choice
      /// The next scalar has a class in `mask`; at the text's end it has none.
      case lookahead
      /// What `first` matches, whatever follows.
      case atom
    }

    var kind = Kind.accept
    /// Has no use for giving anything back (`repetition`), or must not hold (`lookahead`).
    var flag = false
    var mask: UInt64 = 0
    var least = 0
    var most = 0
    var first = 0
    var count = 0
    var table = 0
    var next = 0
  }

  /// An alternative and the classes it can begin with.
  struct Branch {
    var mask: UInt64
    var start: Int
  }

  let program: UnsafePointer<Instruction>
  let branches: UnsafePointer<Branch>
  let entries: UnsafePointer<UInt8>
  /// The class of every scalar.
  let classes: UnsafePointer<UInt8>
  /// The class of every byte that is a character by itself.
  let singles: UnsafePointer<UInt8>
  /// Bytes below this are characters by themselves.
  let singleLimit: Int
  /// Where a match starts in the program, and the classes that it can begin with.
  let start: Branch

  /// Compiles a pattern.
  ///
  /// - Parameters:
  ///   - text: the regular expression.
  ///   - alphabet: what the bytes to be searched are.
  /// - Throws: what of it is not known.
  package convenience init(_ text: String, alphabet: Alphabet = .text) throws(PatternParser.Failure)
  {
    try self.init(PatternParser.parse(text), alphabet: alphabet)
  }

  /// Finds a literal text.
  convenience init(literal text: String, alphabet: Alphabet = .text) throws(PatternParser.Failure) {
    let sets = text.unicodeScalars.map { PatternNode.set(ScalarSet($0.value)) }
    try self.init(.sequence(sets), alphabet: alphabet)
  }

  /// Finds every single scalar of a set.
  convenience init(_ set: ScalarSet, alphabet: Alphabet = .text) throws(PatternParser.Failure) {
    try self.init(.set(set), alphabet: alphabet)
  }

  private init(_ node: PatternNode, alphabet: Alphabet) throws(PatternParser.Failure) {
    let partition = try ScalarPartition(node)
    var compiler = PatternCompiler(partition)
    let start = compiler.compile(node, next: compiler.accept)
    let first = compiler.firstClasses(start)
    if first.canBeEmpty {
      throw PatternParser.Failure(reason: "a match of no character")
    }
    self.start = Branch(mask: first.mask, start: start)
    program = Self.copy(compiler.program)
    branches = Self.copy(compiler.branches)
    entries = Self.copy(compiler.entries)
    classes = Self.copy(partition.classes)
    let spellings: [UInt32] =
      switch alphabet {
      case .text: Array(0..<0x80)
      case .bytes: ByteLevelAlphabet.scalars.map(\.value)
      }
    singles = Self.copy(spellings.map { partition.classes[Int($0)] })
    singleLimit = spellings.count
  }

  deinit {
    program.deallocate()
    branches.deallocate()
    entries.deallocate()
    classes.deallocate()
    singles.deallocate()
  }

  private static func copy<Element>(_ array: [Element]) -> UnsafePointer<Element> {
    let memory = UnsafeMutablePointer<Element>.allocate(capacity: array.count)
    memory.initialize(from: array, count: array.count)
    return UnsafePointer(memory)
  }
}

/// The classes of scalars that a pattern tells apart.
struct ScalarPartition {
  /// The class of every scalar.
  private(set) var classes = [UInt8](repeating: 0, count: 0x110000)
  /// The classes that each of the pattern's sets holds.
  private(set) var masks: [ScalarSet: UInt64] = [:]

  init(_ node: PatternNode) throws(PatternParser.Failure) {
    var sets: [ScalarSet] = []
    Self.collect(node, into: &sets)
    guard sets.count <= 64 else { throw PatternParser.Failure(reason: "more than 64 sets") }
    // Between two neighbouring bounds no set begins or ends.
    var bounds: Set<UInt32> = [0, 0x110000]
    for range in sets.flatMap(\.ranges) {
      bounds.formUnion([range.lowerBound, range.upperBound + 1])
    }
    let starts = bounds.sorted()
    var numbers: [UInt64: UInt8] = [:]
    for (start, end) in zip(starts, starts.dropFirst()) {
      var members: UInt64 = 0
      for (i, set) in sets.enumerated() where set.contains(start) { members |= 1 << UInt64(i) }
      let number = numbers[members] ?? UInt8(numbers.count)
      guard number < 64 else { throw PatternParser.Failure(reason: "more than 64 classes") }
      numbers[members] = number
      for scalar in Int(start)..<Int(end) { classes[scalar] = number }
    }
    for (i, set) in sets.enumerated() {
      masks[set] = numbers.reduce(0) {
        $1.key >> UInt64(i) & 1 == 1 ? $0 | 1 << UInt64($1.value) : $0
      }
    }
  }

  private static func collect(_ node: PatternNode, into sets: inout [ScalarSet]) {
    switch node {
    case .set(let set), .lookahead(let set, _): if !sets.contains(set) { sets.append(set) }
    case .sequence(let nodes), .choice(let nodes): for node in nodes { collect(node, into: &sets) }
    case .repetition(let node, _, _, _): collect(node, into: &sets)
    }
  }
}

/// Turns a pattern into instructions, the last one first.
struct PatternCompiler {
  private(set) var program: [Pattern.Instruction] = [Pattern.Instruction()]
  private(set) var branches: [Pattern.Branch] = []
  private(set) var entries: [UInt8] = []
  /// The instruction that ends a match.
  let accept = 0
  private let partition: ScalarPartition

  init(_ partition: ScalarPartition) { self.partition = partition }

  private func mask(_ set: ScalarSet) -> UInt64 { partition.masks[set] ?? 0 }

  private mutating func add(_ kind: Pattern.Instruction.Kind, next: Int) -> Int {
    program.append(Pattern.Instruction(kind: kind, next: next))
    return program.count - 1
  }

  /// Adds the instructions that match `node` and go on at `next`.
  ///
  /// - Returns: the first of them.
  mutating func compile(_ node: PatternNode, next: Int) -> Int {
    switch node {
    case .set(let set):
      let place = add(.set, next: next)
      program[place].mask = mask(set)
      return place
    case .sequence(let parts):
      return parts.reversed().reduce(next) { compile($1, next: $0) }
    case .choice(let parts):
      return choice(parts.map { compile($0, next: next) }, next: next)
    case .lookahead(let set, let isNegative):
      let place = add(.lookahead, next: next)
      program[place].mask = mask(set)
      program[place].flag = isNegative
      return place
    case .repetition(.set(let set), let least, let most, let isPossessive):
      let place = add(.repetition, next: next)
      program[place].mask = mask(set)
      // What follows cannot begin with what this would give back, or matches anyway.
      let rest = firstClasses(next)
      let givesBack = rest.canBeEmpty ? program[next].kind != .accept : rest.mask & mask(set) != 0
      program[place].flag = isPossessive || !givesBack
      (program[place].least, program[place].most) = (least, most)
      return place
    case .repetition(let group, _, _, let isPossessive):
      // At most once, as the parser sees to.
      if !isPossessive { return choice([compile(group, next: next), next], next: next) }
      let place = add(.atom, next: next)
      program[place].first = choice([compile(group, next: accept), accept], next: accept)
      return place
    }
  }

  private mutating func choice(_ starts: [Int], next: Int) -> Int {
    let place = add(.choice, next: next)
    program[place].first = branches.count
    program[place].count = starts.count
    program[place].table = entries.count
    let own = starts.map { start in
      let first = firstClasses(start)
      return Pattern.Branch(mask: first.canBeEmpty ? UInt64.max : first.mask, start: start)
    }
    branches += own
    entries += (0..<64).map { number in
      UInt8(own.firstIndex { $0.mask >> UInt64(number) & 1 == 1 } ?? own.count)
    }
    return place
  }

  /// The classes with which a match from an instruction on can begin.
  func firstClasses(_ start: Int) -> (mask: UInt64, canBeEmpty: Bool) {
    let instruction = program[start]
    switch instruction.kind {
    case .accept: return (0, true)
    case .set: return (instruction.mask, false)
    case .repetition where instruction.least > 0: return (instruction.mask, false)
    case .repetition:
      let rest = firstClasses(instruction.next)
      return (instruction.mask | rest.mask, rest.canBeEmpty)
    case .choice:
      let all = branches[instruction.first..<(instruction.first + instruction.count)]
      return all.reduce((0, false)) { sum, branch in
        let one = firstClasses(branch.start)
        return (sum.0 | one.mask, sum.1 || one.canBeEmpty)
      }
    case .lookahead: return firstClasses(instruction.next)
    case .atom:
      let own = firstClasses(instruction.first)
      if !own.canBeEmpty { return own }
      let rest = firstClasses(instruction.next)
      return (own.mask | rest.mask, rest.canBeEmpty)
    }
  }
}
