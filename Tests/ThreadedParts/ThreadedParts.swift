import Foundation
import Kernels

/// Parts of a sequence that are threads of one process: a gather over shared memory.
public final class ThreadedParts: @unchecked Sendable {
  private let condition = NSCondition()
  private let count: Int
  private var blocks: [[Float]]
  private var arrived = 0
  private var left = 0
  /// Calls of `gather` so far, and floats of one part in them.
  public private(set) var gathers: [Int] = []

  private init(_ count: Int) {
    self.count = count
    blocks = Array(repeating: [], count: count)
  }

  fileprivate func gather(_ values: UnsafeMutablePointer<Float>, _ length: Int, part: Int) {
    condition.lock()
    defer { condition.unlock() }
    while left > 0 { condition.wait() }
    blocks[part] = Array(UnsafeBufferPointer(start: values + part * length, count: length))
    arrived += 1
    if arrived == count {
      precondition(blocks.allSatisfy { $0.count == length }, "parts sent different counts")
      gathers.append(length)
      (arrived, left) = (0, count)
      condition.broadcast()
    } else {
      while left == 0 { condition.wait() }
    }
    for (index, block) in blocks.enumerated() {
      for (i, value) in block.enumerated() { values[index * length + i] = value }
    }
    left -= 1
    if left == 0 { condition.broadcast() }
  }

  private final class Member: SequenceGroup {
    let threads: ThreadedParts
    let part: Int
    var parts: Int { threads.count }

    init(_ threads: ThreadedParts, _ part: Int) { (self.threads, self.part) = (threads, part) }

    func gather(inPlace values: UnsafeMutablePointer<Float>, count: Int) {
      threads.gather(values, count, part: part)
    }
  }

  /// Runs `body` as each of `count` parts, on a thread of its own.
  ///
  /// The process's compute pool must have one thread.
  ///
  /// - Parameters:
  ///   - count: parts.
  ///   - body: what a part does, with its number and the group.
  /// - Returns: what `body` returned, in the order of the parts, and the gathers.
  public static func run<Result>(
    _ count: Int, _ body: @escaping (Int, any SequenceGroup) -> Result
  ) -> (results: [Result], gathers: [Int]) {
    nonisolated(unsafe) let body = body
    nonisolated(unsafe) var results = [Result?](repeating: nil, count: count)
    let group = ThreadedParts(count)
    let finished = DispatchGroup()
    let lock = NSLock()
    for part in 0..<count {
      finished.enter()
      let thread = Thread {
        let result = body(part, Member(group, part))
        lock.withLock { results[part] = result }
        finished.leave()
      }
      thread.stackSize = 1 << 24
      thread.start()
    }
    finished.wait()
    return (results.compactMap { $0 }, group.gathers)
  }
}
