extension Pattern {
  /// A text and what is needed to read it, without counting references.
  struct Scanner {
    let bytes: UnsafeBufferPointer<UInt8>
    let program: UnsafePointer<Instruction>
    let branches: UnsafePointer<Branch>
    let entries: UnsafePointer<UInt8>
    let classes: UnsafePointer<UInt8>
    let singles: UnsafePointer<UInt8>
    let singleLimit: Int
    let start: Branch
  }

  /// Reads `bytes`; the pattern has to outlive the scanner.
  func scanner(_ bytes: UnsafeBufferPointer<UInt8>) -> Scanner {
    Scanner(
      bytes: bytes, program: program, branches: branches, entries: entries, classes: classes,
      singles: singles, singleLimit: singleLimit, start: start)
  }
}

extension Pattern.Scanner {
  /// The class of the scalar at `offset`, and its length in bytes.
  @inline(__always)
  private func read(_ offset: Int) -> (class: UInt8, length: Int) {
    let byte = Int(bytes[offset])
    if byte < singleLimit { return (singles[byte], 1) }
    let (value, length) = UTF8Scalars.decode(bytes, offset)
    return (classes[Int(value)], length)
  }

  /// Whether a class is one of `mask`.
  @inline(__always)
  private func contains(_ mask: UInt64, _ number: UInt8) -> Bool {
    mask &>> UInt64(number) & 1 != 0
  }

  /// The offset of the scalar before `offset`.
  @inline(__always)
  private func before(_ offset: Int) -> Int {
    var result = offset - 1
    if singleLimit == 0x80 { while bytes[result] & 0xC0 == 0x80 { result -= 1 } }
    return result
  }

  /// The next match from `offset` on; nil when there is none.
  @inline(__always)
  func nextMatch(from offset: Int) -> Range<Int>? {
    var position = offset
    while position < bytes.count {
      let (number, length) = read(position)
      if contains(start.mask, number) {
        let end = match(start.start, position)
        if end >= 0 { return position..<end }
      }
      position += length
    }
    return nil
  }

  /// The end of the match of the instructions from `start` on at `offset`, or -1.
  private func match(_ start: Int, _ offset: Int) -> Int {
    var instruction = program + start
    var position = offset
    while true {
      switch instruction.pointee.kind {
      case .accept: return position
      case .set:
        guard position < bytes.count else { return -1 }
        let (number, length) = read(position)
        if !contains(instruction.pointee.mask, number) { return -1 }
        position += length
      case .repetition:
        let (end, count) = run(instruction, position)
        if count < instruction.pointee.least { return -1 }
        if !instruction.pointee.flag { return matchRest(instruction, end, count) }
        position = end
      case .choice: return matchBranch(instruction, position)
      case .lookahead:
        let holds =
          position < bytes.count && contains(instruction.pointee.mask, read(position).class)
        if holds == instruction.pointee.flag { return -1 }
      case .atom:
        position = match(instruction.pointee.first, position)
        if position < 0 { return -1 }
      }
      instruction = program + instruction.pointee.next
    }
  }

  /// As many scalars of a repetition as there are, at most `most`.
  @inline(__always)
  private func run(
    _ instruction: UnsafePointer<Pattern.Instruction>, _ offset: Int
  ) -> (end: Int, count: Int) {
    let (mask, most) = (instruction.pointee.mask, instruction.pointee.most)
    var (end, count) = (offset, 0)
    while end < bytes.count && count < most {
      let (number, length) = read(end)
      if !contains(mask, number) { break }
      end += length
      count += 1
    }
    return (end, count)
  }

  /// What follows a repetition, which gives back one scalar after the other until the rest matches.
  private func matchRest(
    _ instruction: UnsafePointer<Pattern.Instruction>, _ end: Int, _ count: Int
  ) -> Int {
    var (end, count) = (end, count)
    while true {
      let result = match(instruction.pointee.next, end)
      if result >= 0 || count == instruction.pointee.least { return result }
      end = before(end)
      count -= 1
    }
  }

  private func matchBranch(
    _ instruction: UnsafePointer<Pattern.Instruction>, _ position: Int
  ) -> Int {
    // At the text's end only what can be empty matches, and its mask is full.
    let number = position < bytes.count ? read(position).class : 63
    let entry = Int(entries[instruction.pointee.table + Int(number)])
    let first = instruction.pointee.first
    for i in (first + entry)..<(first + instruction.pointee.count)
    where contains(branches[i].mask, number) {
      let end = match(branches[i].start, position)
      if end >= 0 { return end }
    }
    return -1
  }
}
