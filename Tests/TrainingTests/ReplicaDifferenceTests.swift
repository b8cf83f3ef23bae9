import Testing
import Training

/// Who is named when ranks hold different values.
@Suite struct ReplicaDifferenceTests {
  private func difference(_ hashes: [[UInt64]]) -> ReplicaDifference {
    ReplicaDifference(
      names: ["a", "b", "b", "c"], hashes: hashes,
      hosts: hashes.indices.map { "node\($0)" })
  }

  @Test("equal ranks differ in nothing")
  func equal() {
    let none = difference([[1, 2, 3, 4], [1, 2, 3, 4]])
    #expect(none.tensor == nil && none.tensorCount == 0 && !none.hasMajority)
  }

  @Test("the odd rank of three, and the first of its tensors")
  func odd() {
    let one = difference([[1, 2, 3, 4], [1, 2, 9, 8], [1, 2, 3, 4]])
    #expect(one.tensor == "b" && one.tensorCount == 2 && one.ranks == [1] && one.hasMajority)
    #expect(
      one.description == "b and 1 more on rank 1 (node1) is not what the other ranks hold")
  }

  @Test("a rank that is wrong in another tensor is named too")
  func two() {
    let two = difference([
      [1, 2, 3, 4], [1, 2, 3, 8], [7, 2, 3, 4], [1, 2, 3, 4], [1, 2, 3, 4],
    ])
    #expect(two.tensor == "a" && two.ranks == [1, 2] && two.hasMajority)
  }

  @Test("two ranks, or two halves, have no majority", arguments: [2, 4])
  func halves(_ count: Int) {
    let rows = (0..<count).map { $0 < count / 2 ? [1, 2, 3, 4] : [1, 2, 3, 5] as [UInt64] }
    let halves = difference(rows)
    #expect(!halves.hasMajority && halves.ranks == Array(0..<count) && halves.tensor == "c")
    #expect(halves.description.hasPrefix("c differs between ranks 0 (node0), 1 (node1)"))
  }
}
