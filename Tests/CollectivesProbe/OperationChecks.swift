import Collectives

/// What each operation must give, told by rank numbers: rank r contributes values that name r.
struct OperationChecks {
  private let communicator: Communicator
  private var rank: Int { communicator.rank }
  private var size: Int { communicator.size }
  /// Sum of all ranks' numbers.
  private var sumOfRanks: Int { size * (size - 1) / 2 }

  init(_ communicator: Communicator) { self.communicator = communicator }

  /// The names of what is wrong on this rank.
  func failed() throws -> [String] {
    let checks: [(name: String, body: () throws -> Bool)] = [
      ("maximum of integers", maximumOfIntegers), ("maximum of doubles", maximumOfDoubles),
      ("sum of floats", sumOfFloats), ("sum of doubles", sumOfDoubles),
      ("scattered sum", scatteredSum), ("gather of floats", gatherOfFloats),
      ("gather of doubles", gatherOfDoubles), ("gather of bytes", gatherOfBytes),
      ("groups", groups), ("non-blocking exchange", exchange), ("non-blocking share", share),
    ]
    return try checks.compactMap { try $0.body() ? nil : $0.name }
  }

  private func maximumOfIntegers() throws -> Bool {
    let largest = try communicator.maximum(rank == size / 2 ? Int.max - 1 : -rank)
    let negative = try communicator.maximum(-1 - rank)
    return largest == Int.max - 1 && negative == -1
  }

  private func maximumOfDoubles() throws -> Bool {
    try communicator.maximum(-Double(rank) - 0.5) == -0.5
  }

  private func sumOfFloats() throws -> Bool {
    var values = (0..<1000).map { Float(rank * 1000 + $0) }
    try communicator.sum(inPlace: &values, count: values.count)
    return values.indices.allSatisfy { values[$0] == Float(sumOfRanks * 1000 + size * $0) }
  }

  private func sumOfDoubles() throws -> Bool {
    var values = [0x1p-40 * Double(rank), Double(rank)]
    try communicator.sum(inPlace: &values, count: 1)
    return values == [0x1p-40 * Double(sumOfRanks), Double(rank)]
  }

  /// Rank r gets r + 1 floats.
  private func scatteredSum() throws -> Bool {
    let all = (0..<(sumOfRanks + size)).map { Float(rank * 10_000 + $0) }
    var own = [Float](repeating: -1, count: rank + 1)
    var counts = (0..<size).map { Int32($0 + 1) }
    try counts.withUnsafeMutableBufferPointer {
      try communicator.sum(all, scatteringInto: &own, counts: $0)
    }
    let first = rank * (rank + 1) / 2
    return own.indices.allSatisfy { own[$0] == Float(sumOfRanks * 10_000 + size * (first + $0)) }
  }

  private func gatherOfFloats() throws -> Bool {
    var values = [Float](repeating: -1, count: 3 * size)
    for index in 0..<3 { values[3 * rank + index] = Float(10 * rank + index) }
    try communicator.gather(inPlace: &values, count: 3)
    return values.indices.allSatisfy { values[$0] == Float(10 * ($0 / 3) + $0 % 3) }
  }

  private func gatherOfDoubles() throws -> Bool {
    var values = [Double](repeating: -1, count: size)
    values[rank] = Double(rank) / 3
    try communicator.gather(inPlace: &values, count: 1)
    return values.indices.allSatisfy { values[$0] == Double($0) / 3 }
  }

  /// Rank r says r bytes, so the first one nothing.
  private func gatherOfBytes() throws -> Bool {
    let mine = [UInt8](repeating: UInt8(rank), count: rank)
    let all = try communicator.gather(mine)
    let nothing = try communicator.gather([])
    return all == (0..<size).map { [UInt8](repeating: UInt8($0), count: $0) }
      && nothing == [[UInt8]](repeating: [], count: size)
  }

  /// Even and odd ranks apart: each group counts its own.
  private func groups() throws -> Bool {
    let group = try communicator.split(color: rank % 2)
    var values = [Float](repeating: -1, count: group.size)
    values[group.rank] = Float(rank)
    try group.gather(inPlace: &values, count: 1)
    return group.rank == rank / 2
      && values == stride(from: rank % 2, to: size, by: 2).map { Float($0) }
  }

  /// Rank r sends s + 1 floats to rank s.
  private func exchange() throws -> Bool {
    let exchanges = try NonBlockingExchanges(communicator)
    let blocks = NonBlockingExchanges.Blocks(size: size)
    var (sent, received) = (0, 0)
    for other in 0..<size {
      blocks.sendCounts[other] = Int32(other + 1)
      blocks.sendOffsets[other] = Int32(sent)
      blocks.receiveCounts[other] = Int32(rank + 1)
      blocks.receiveOffsets[other] = Int32(received)
      sent += other + 1
      received += rank + 1
    }
    let send = (0..<sent).map { Float(1000 * rank + $0) }
    var receive = [Float](repeating: -1, count: received)
    try send.withUnsafeBufferPointer { send in
      try receive.withUnsafeMutableBufferPointer { receive in
        guard let source = send.baseAddress, let target = receive.baseAddress else { return }
        var operation = try exchanges.startExchange(source, into: target, blocks)
        while try !exchanges.isDone(&operation) {}
        try exchanges.wait(&operation)
      }
    }
    let first = rank * (rank + 1) / 2
    return receive.indices.allSatisfy {
      receive[$0] == Float(1000 * ($0 / (rank + 1)) + first + $0 % (rank + 1))
    }
  }

  /// Rank r owns r + 1 floats.
  private func share() throws -> Bool {
    let exchanges = try NonBlockingExchanges(communicator)
    let blocks = NonBlockingExchanges.Blocks(size: size)
    for other in 0..<size {
      blocks.sendCounts[other] = Int32(other + 1)
      blocks.sendOffsets[other] = Int32(other * (other + 1) / 2)
    }
    var values = [Float](repeating: -1, count: sumOfRanks + size)
    let first = rank * (rank + 1) / 2
    for index in first...(first + rank) { values[index] = Float(index) }
    try values.withUnsafeMutableBufferPointer {
      guard let base = $0.baseAddress else { return }
      var operation = try exchanges.startShare(
        inPlace: base, counts: blocks.sendCounts, offsets: blocks.sendOffsets)
      try exchanges.wait(&operation)
    }
    return values.indices.allSatisfy { values[$0] == Float($0) }
  }
}
