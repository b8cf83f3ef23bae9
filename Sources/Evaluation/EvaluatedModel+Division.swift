import JSON

extension EvaluatedModel {
  /// Measures samples, each on one rank; collective.
  ///
  /// Samples that run side by side are a unit. Units do not depend on the number of ranks, which take
  /// turns at them, so neither does any result. Samples of the log are not measured again, and those
  /// that are measured go there.
  ///
  /// - Parameters:
  ///   - name: the measurement's name in the log.
  ///   - length: its length.
  ///   - units: numbers of samples, one after the other from 0 on.
  ///   - id: a sample's id by its number.
  ///   - measure: measures the samples of a unit.
  /// - Returns: all of them, in order, on every rank.
  /// - Throws: what `measure` throws, on all ranks; `EvaluationError.interrupted`.
  func records(
    _ name: String, length: Int, units: [Range<Int>],
    id: (Int) -> JSONValue = { .integer($0) },
    measure: (Range<Int>) throws -> [SampleRecord]
  ) throws -> [SampleRecord] {
    let key = SampleLog.Key(name: name, length: length)
    var found = units.map { unit in unit.compactMap { log?.record(key, id: id($0)) } }
    let missing = units.indices.filter { found[$0].count < units[$0].count }
    for round in stride(from: 0, to: missing.count, by: ranks.size) {
      let turn = missing[round..<min(round + ranks.size, missing.count)]
      let parts = try ranks.gather {
        guard ranks.rank < turn.count else { return [] }
        do {
          try goOn()
          let records = try measure(units[turn[turn.startIndex + ranks.rank]])
          return Array(records.map { JSONValue.object($0.members).line + "\n" }.joined().utf8)
        } catch EvaluationError.interrupted {
          return Self.interruption
        }
      }
      guard !parts.contains(Self.interruption) else { throw EvaluationError.interrupted }
      for (unit, part) in zip(turn, parts) {
        let lines = part.split(separator: UInt8(ascii: "\n"))
        found[unit] = lines.compactMap { JSONValue(line: $0).flatMap(SampleRecord.init) }
        try log?.append(found[unit], key)
      }
    }
    return found.flatMap { $0 }
  }

  /// What a rank says that was asked to give up.
  private static let interruption: [UInt8] = Array("interrupted\n".utf8)

  /// Cuts `count` samples into units of `size`.
  static func units(of count: Int, size: Int) -> [Range<Int>] {
    stride(from: 0, to: count, by: size).map { $0..<min($0 + size, count) }
  }
}
