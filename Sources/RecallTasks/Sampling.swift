import Foundation
import TensorStorage

/// Draws distinct numbers from 0..<n without allocating: a Fisher-Yates shuffle that is undone.
struct DistinctSampler {
  /// 0..<n in order, between calls.
  private var pool: [Int32]
  private var exchanged: [Int32]

  /// Prepares for draws of at most `most` numbers below `count`.
  init(count: Int, most: Int) {
    pool = (0..<Int32(count)).map { $0 }
    exchanged = [Int32](repeating: 0, count: most)
  }

  /// Overwrites `result[0..<k]` with a uniform ordered choice of `k` distinct numbers plus `offset`.
  ///
  /// - Precondition: `k` is at most `most` and at most the pool's count.
  mutating func draw(
    _ k: Int, offset: Int32, into result: inout [Int32], using random: inout CounterRandom
  ) {
    for i in 0..<k {
      let j = i + random.below(pool.count - i)
      exchanged[i] = Int32(truncatingIfNeeded: j)
      pool.swapAt(i, j)
      result[i] = pool[i] + offset
    }
    for i in (0..<k).reversed() { pool.swapAt(i, Int(exchanged[i])) }
  }
}

/// Draws distinct slots, slot `g` with weight `(g+1)^(a-1)`, as successive draws with
/// renormalisation would.
///
/// Each slot's waiting time is exponential with rate equal to its weight; the `D` slots that come
/// first, in order, have exactly that distribution. Cost: one logarithm a slot and `O(D log D)`.
struct PowerLawSlotSampler {
  private let (slotCount, power): (Int, Double)
  /// Of every slot, made by the first draw because that takes about as long: a plan of rows of 2^30 tokens draws none.
  private var inverseWeights: [Double] = []
  private var times: [Double]
  private var slots: [Int32]

  /// Prepares for draws of at most `most` of `slotCount` slots with exponent `power - 1`.
  init(slotCount: Int, most: Int, power: Double) {
    (self.slotCount, self.power) = (slotCount, power)
    times = [Double](repeating: 0, count: most)
    slots = [Int32](repeating: 0, count: most)
  }

  /// Overwrites `result[0..<k]` with `k` distinct slots below `count`, in order of drawing.
  mutating func draw(
    _ k: Int, of count: Int, into result: inout [Int32], using random: inout CounterRandom
  ) {
    if inverseWeights.isEmpty {
      inverseWeights = (0..<slotCount).map { pow(Double($0 + 1), 1 - power) }
    }
    for slot in 0..<count {
      let time = -log(1 - random.uniform()) * inverseWeights[slot]
      if slot < k {
        siftUp(time, Int32(truncatingIfNeeded: slot), at: slot)
      } else if time < times[0] {
        siftDown(time, Int32(truncatingIfNeeded: slot), count: k)
      }
    }
    for last in stride(from: k - 1, through: 0, by: -1) {
      result[last] = slots[0]
      siftDown(times[last], slots[last], count: last)
    }
  }

  /// Adds an element to the heap (latest first) of `position` elements.
  private mutating func siftUp(_ time: Double, _ slot: Int32, at position: Int) {
    var child = position
    while child > 0 {
      let parent = (child - 1) / 2
      if times[parent] >= time { break }
      times[child] = times[parent]
      slots[child] = slots[parent]
      child = parent
    }
    times[child] = time
    slots[child] = slot
  }

  /// Replaces the latest element of the heap of `count` elements.
  private mutating func siftDown(_ time: Double, _ slot: Int32, count: Int) {
    var parent = 0
    while true {
      var child = 2 * parent + 1
      if child >= count { break }
      if child + 1 < count, times[child + 1] > times[child] { child += 1 }
      if times[child] <= time { break }
      times[parent] = times[child]
      slots[parent] = slots[child]
      parent = child
    }
    times[parent] = time
    slots[parent] = slot
  }
}
