import Checkpointing
import Foundation

/// Ranks that are threads: an all-gather over shared memory.
final class ThreadGroup: @unchecked Sendable {
  private let condition = NSCondition()
  private let count: Int
  private var slots: [[UInt8]?]
  private var results: [[UInt8]] = []
  private var generation = 0

  init(_ count: Int) {
    self.count = count
    slots = Array(repeating: nil, count: count)
  }

  func gather(_ message: [UInt8], rank: Int) -> [[UInt8]] {
    condition.lock()
    defer { condition.unlock() }
    let mine = generation
    slots[rank] = message
    if slots.allSatisfy({ $0 != nil }) {
      results = slots.compactMap { $0 }
      slots = Array(repeating: nil, count: count)
      generation += 1
      condition.broadcast()
    }
    while generation == mine { condition.wait() }
    return results
  }
}

struct ThreadRank: ShardCoordination, Sendable {
  let group: ThreadGroup
  let rank: Int
  let shardCount: Int

  var localShards: Range<Int> { rank..<(rank + 1) }

  func exchange(_ messages: [[UInt8]]) -> [[UInt8]] { group.gather(messages[0], rank: rank) }
}

/// Runs `body` as each of `count` ranks and returns their error messages.
func onThreads(_ count: Int, _ body: @escaping (ThreadRank) throws -> Void) -> [String] {
  nonisolated(unsafe) let body = body
  let group = ThreadGroup(count)
  let finished = DispatchGroup()
  let lock = NSLock()
  nonisolated(unsafe) var messages = Array(repeating: "", count: count)
  for rank in 0..<count {
    finished.enter()
    Thread.detachNewThread {
      let text = message { try body(ThreadRank(group: group, rank: rank, shardCount: count)) }
      lock.withLock { messages[rank] = text }
      finished.leave()
    }
  }
  finished.wait()
  return messages
}
