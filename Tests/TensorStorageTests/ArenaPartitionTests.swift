import TensorStorage
import Testing

/// Who owns which elements of an arena.
@Suite("arena partition")
struct ArenaPartitionTests {
  static let cases: [(count: Int, parts: Int, grain: ArenaPartition.Grain)] = [
    (0, 1, .standard), (48, 1, .standard), (48, 3, .standard), (20_000, 4, .standard),
    (3 << 22 + 12_345, 1, .standard), (3 << 22 + 12_345, 5, .standard),
    (1 << 22, 7, .standard), (1000, 3, .init(bucket: 64, unit: 16)),
    (1001, 9, .init(bucket: 128, unit: 128)),
  ]

  @Test("every element belongs to one rank, in whole units", arguments: cases.indices)
  func divides(_ index: Int) {
    let c = Self.cases[index]
    let partition = ArenaPartition(count: c.count, parts: c.parts, grain: c.grain)
    var owned: [Range<Int>] = []
    for part in 0..<c.parts {
      let ranges = partition.ranges(of: part)
      #expect(partition.count(of: part) == ranges.reduce(0) { $0 + $1.count })
      for (range, next) in zip(ranges, ranges.dropFirst()) {
        #expect(range.upperBound < next.lowerBound, "ranges touch")
      }
      #expect(ranges.allSatisfy { $0.lowerBound.isMultiple(of: c.grain.unit) && !$0.isEmpty })
      owned += ranges
    }
    var end = 0
    for range in owned.sorted(by: { $0.lowerBound < $1.lowerBound }) {
      #expect(range.lowerBound == end)
      end = range.upperBound
    }
    #expect(end == c.count)
    if c.parts == 1, c.count > 0 { #expect(partition.ranges(of: 0) == [0..<c.count]) }
  }

  @Test("a bucket is divided evenly")
  func evenly() {
    let partition = ArenaPartition(count: 1 << 23, parts: 3)
    #expect(partition.bucketCount == 2)
    for bucket in 0..<2 {
      for part in 0..<3 {
        let range = partition.range(of: part, inBucket: bucket)
        #expect(abs(range.count - (1 << 22) / 3) <= 1 << 12)
        #expect(partition.bucket(bucket).contains(range.lowerBound))
      }
    }
  }
}
