import Foundation
import Synchronization
import Testing
import Threads

@Suite struct OrderedWorkTests {
  /// Later items are done sooner, and still come later.
  @Test(arguments: [1, 2, 5])
  func resultsComeInTheOrderOfTheItems(_ threads: Int) {
    let work = OrderedWork(
      (0..<threads).map { _ in
        { (item: Int) in
          usleep(UInt32(item % 7 == 0 ? 3000 : 0))
          return item * item
        }
      })
    var results: [Int] = []
    for item in 0..<100 {
      work.submit(item)
      if work.count > 10, let result = work.collect() { results.append(result) }
    }
    while let result = work.collect() { results.append(result) }
    #expect(results == (0..<100).map { $0 * $0 })
    #expect(work.count == 0)
  }

  /// Every thread takes part, and all of them end with their owner.
  @Test func threadsEndWithTheirOwner() {
    final class Worker: Sendable {
      let used = Atomic(0)
      let ended = Atomic(0)
    }
    let counts = Worker()
    final class Token: Sendable {
      let counts: Worker
      init(_ counts: Worker) { self.counts = counts }
      deinit { counts.ended.add(1, ordering: .relaxed) }
    }
    do {
      let both = DispatchSemaphore(value: 0)
      let work = OrderedWork(
        (0..<2).map { _ in
          let token = Token(counts)
          return { (_: Int) in
            token.counts.used.add(1, ordering: .relaxed)
            both.signal()
            return both.wait(timeout: .now() + 5) == .success
          }
        })
      work.submit(0)
      work.submit(1)
      while work.collect() != nil {}
    }
    #expect(counts.used.load(ordering: .relaxed) == 2)
    for _ in 0..<500 where counts.ended.load(ordering: .relaxed) < 2 { usleep(10_000) }
    #expect(counts.ended.load(ordering: .relaxed) == 2)
  }
}
