import Charts
import Testing

/// Where values land, and which are marked.
@Suite struct ScaleTests {
  @Test func aLinearScaleReachesToRoundMarks() {
    let scale = Scale(over: [0.3, 9.4], ends: (200, 0))
    #expect(scale.domain == 0...10)
    #expect(scale.ticks == [0, 2, 4, 6, 8, 10])
    #expect(scale.position(0) == 200 && scale.position(10) == 0 && scale.position(2.5) == 150)
    #expect(scale.position(20) == -200 && scale.clamped(20) == 0)
  }

  @Test func aTightScaleEndsWhereItsValuesEnd() {
    let scale = Scale(over: [3, 97], ends: (0, 94), isTight: true)
    #expect(scale.domain == 3...97)
    #expect(scale.ticks == [20, 40, 60, 80])
    #expect(scale.position(50) == 47)
  }

  @Test func aLogarithmicScaleHasEqualStepsForEqualRatios() {
    let scale = Scale(over: [1, 10_000], .logarithmic, ends: (0, 400))
    #expect(scale.ticks == [1, 10, 100, 1000, 10_000])
    #expect(scale.position(1) == 0 && scale.position(10_000) == 400)
    #expect(abs(scale.position(100) - 200) < 1e-12)
    #expect(scale.position(0) == -.infinity && scale.clamped(0) == 0)
  }

  @Test func fewDecadesAreMarkedBetweenToo() {
    #expect(Scale(over: [0.4, 12], .logarithmic, ends: (0, 1)).ticks == [0.5, 1, 2, 5, 10])
    #expect(Scale(over: [2, 4.5], .logarithmic, ends: (0, 1)).ticks == [2, 2.5, 3, 3.5, 4, 4.5])
    #expect(Scale(over: [1e-12, 1e12], .logarithmic, ends: (0, 1)).ticks.count <= 5)
  }

  @Test(arguments: [
    ([Double](), 0.0...1.0), ([.nan, .infinity], 0...1), ([5], 4.4...5.6), ([0], 0...1),
    ([-2], -2.2 ... -1.8), ([0, .leastNonzeroMagnitude], 0...1),
    ([1e300, 1e308, -.leastNonzeroMagnitude], 0...1),
  ])
  func nothingAndOneValueStillHaveAScale(_ values: [Double], _ domain: ClosedRange<Double>) {
    let scale = Scale(over: values, ends: (0, 1))
    #expect(abs(scale.domain.lowerBound - domain.lowerBound) < 1e-9, "\(scale.domain)")
    #expect(abs(scale.domain.upperBound - domain.upperBound) < 1e-9, "\(scale.domain)")
    #expect(scale.ticks.count >= 3)
    let logarithmic = Scale(over: values, .logarithmic, ends: (0, 1))
    #expect(logarithmic.domain.lowerBound > 0 && logarithmic.ticks.count >= 2)
  }
}

@Suite struct NumberTextTests {
  @Test(arguments: [
    (1_234_567.5, "1,234,568"), (-999.4, "-999"), (1e19, "10000000 T"), (.infinity, "inf"),
  ])
  func wholeNumbersAreGroupedAsLongAsTheyFit(_ value: Double, _ text: String) {
    #expect(NumberText.grouped(value) == text)
  }
}
