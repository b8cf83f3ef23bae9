extension Pattern {
  /// A text and what is needed to read it, without counting references.
  struct Scanner {
    let bytes: UnsafeBufferPointer<UInt8>
    let program: UnsafeMutableBufferPointer<Instruction>
    let branches: UnsafeMutableBufferPointer<Branch>
    let classes: UnsafeMutableBufferPointer<UInt8>
    let singles: UnsafeMutableBufferPointer<UInt8>
    let singleLimit: Int
    let start: Branch
  }

  /// Reads `bytes`; the pattern has to outlive the scanner.
  func scanner(_ bytes: UnsafeBufferPointer<UInt8>) -> Scanner {
    Scanner(
      bytes: bytes, program: program, branches: branches, classes: classes, singles: singles,
      singleLimit: singleLimit, start: start)
  }
}

extension Pattern.Scanner {
  /// The class of the scalar at `offset`, as a bit, and its length in bytes.
  @inline(__always)
  private func read(_ offset: Int) -> (bit: UInt64, length: Int) {
    let byte = Int(bytes[offset])
    if byte < singleLimit { return (1 << UInt64(singles[byte]), 1) }
    let (value, length) = UTF8Scalars.decode(bytes, offset)
    return (1 << UInt64(classes[Int(value)]), length)
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
      let (bit, length) = read(position)
      if bit & start.mask != 0 {
        let end = match(start.start, position)
        if end >= 0 { return position..<end }
      }
      position += length
    }
    return nil
  }

  /// The end of the match of the instructions from `start` on at `offset`, or -1.
  private func match(_ start: Int, _ offset: Int) -> Int {
    var instruction = program[start]
    var position = offset
    while true {
      switch instruction.kind {
      case .accept: return position
      case .set:
        guard position < bytes.count else { return -1 }
        let (bit, length) = read(position)
        if bit & instruction.mask == 0 { return -1 }
        position += length
      case .repetition:
        let (end, count) = run(instruction, position)
        if count < instruction.least { return -1 }
        if !instruction.flag && program[instruction.next].kind != .accept {
          return matchRest(instruction, end, count)
        }
        position = end
      case .choice: return matchBranch(instruction, position)
      case .lookahead:
        let holds = position < bytes.count && read(position).bit & instruction.mask != 0
        if holds == instruction.flag { return -1 }
      case .atom:
        position = match(instruction.first, position)
        if position < 0 { return -1 }
      }
      instruction = program[instruction.next]
    }
  }

  /// As many scalars of a repetition as there are, at most `most`.
  @inline(__always)
  private func run(_ instruction: Pattern.Instruction, _ offset: Int) -> (end: Int, count: Int) {
    var (end, count) = (offset, 0)
    while end < bytes.count && count < instruction.most {
      let (bit, length) = read(end)
      if bit & instruction.mask == 0 { break }
      end += length
      count += 1
    }
    return (end, count)
  }

  /// What follows a repetition, which gives back one scalar after the other until the rest matches.
  private func matchRest(_ instruction: Pattern.Instruction, _ end: Int, _ count: Int) -> Int {
    var (end, count) = (end, count)
    while true {
      let result = match(instruction.next, end)
      if result >= 0 || count == instruction.least { return result }
      end = before(end)
      count -= 1
    }
  }

  private func matchBranch(_ instruction: Pattern.Instruction, _ position: Int) -> Int {
    // At the text's end only what can be empty matches: its mask is full.
    let bit = position < bytes.count ? read(position).bit : 1 << 63
    for i in instruction.first..<(instruction.first + instruction.count)
    where bit & branches[i].mask != 0 {
      let end = match(branches[i].start, position)
      if end >= 0 { return end }
    }
    return -1
  }
}
