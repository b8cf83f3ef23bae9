import Testing
import Training

/// What counts as a spike, and which batches are left out after going back.
@Suite struct SpikeHistoryTests {
  @Test("standard deviations above the last losses, once there are enough")
  func deviation() throws {
    var history = SpikeHistory()
    for loss in [9.0, 1, 2, 3] {
      #expect(history.deviation(of: 5, window: 4) == nil)
      history.accept(loss, window: 4)
    }
    // Of 9, 1, 2, 3: mean 3.75, variance (5.25^2 + 2.75^2 + 1.75^2 + 0.75^2) / 3.
    let deviation = try #require(history.deviation(of: 5, window: 4))
    #expect(abs(deviation - 1.25 / 12.916_666_666_666_666.squareRoot()) < 1e-12)
    history.accept(4, window: 4)
    #expect(history.losses == [1, 2, 3, 4])
    #expect(try #require(history.deviation(of: 1, window: 4)) < 0)
  }

  @Test("where nothing moves a thousandth of the loss counts as a deviation")
  func constant() throws {
    var history = SpikeHistory()
    for _ in 0..<3 { history.accept(2, window: 3) }
    #expect(try abs(#require(history.deviation(of: 2.004, window: 3)) - 2) < 1e-9)
    #expect(history.deviation(of: 2, window: 3) == 0)
  }

  @Test("spikes count while they lie in the window")
  func counts() {
    var history = SpikeHistory()
    for step in [3, 8, 9] { history.skip(step) }
    #expect(history.spikes(upTo: 10, window: 2) == 1)
    #expect(history.spikes(upTo: 10, window: 3) == 2)
    #expect(history.spikes(upTo: 10, window: 10) == 3)
  }

  @Test("batches of the steps since the checkpoint are left out, also several times")
  func gaps() {
    let first = SpikeHistory().goingBack(from: 13, to: 10, losses: [1])
    #expect(first.gaps == [.init(after: 10, batches: 3)] && first.losses == [1])
    #expect([1, 10, 11, 12].map(first.batch) == [1, 10, 14, 15])
    // Again from step 12, whose batch is 15, to the same checkpoint.
    let second = first.goingBack(from: 12, to: 10, losses: [1])
    #expect(second.gaps == [.init(after: 10, batches: 5)] && second.spikes == [13, 12])
    #expect(second.batch(ofStep: 11) == 16)
    // To one before, which knows nothing of the first time.
    let third = first.goingBack(from: 12, to: 5, losses: [])
    #expect(third.gaps == [.init(after: 5, batches: 10)] && third.batch(ofStep: 6) == 16)
    // To one after it: both count.
    let fourth = first.goingBack(from: 20, to: 15, losses: [])
    #expect(fourth.gaps == [.init(after: 10, batches: 3), .init(after: 15, batches: 5)])
    #expect([15, 16].map(fourth.batch) == [18, 24])
  }
}
