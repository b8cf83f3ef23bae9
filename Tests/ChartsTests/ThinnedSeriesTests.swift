import Charts
import Testing

/// Series of any length in bounded memory.
@Suite struct ThinnedSeriesTests {
  @Test func aShortSeriesStaysAsItIs() {
    var series = ThinnedSeries(capacity: 4)
    for step in 1...4 { series.append(x: Double(step), y: Double(step * step)) }
    #expect(series.points.map(\.x) == [1, 2, 3, 4] && series.points.map(\.y) == [1, 4, 9, 16])
    #expect(series.points.allSatisfy { $0.band == nil })
  }

  @Test func binsHoldMeansAndExtremes() {
    var series = ThinnedSeries(capacity: 4)
    for step in 1...6 { series.append(x: Double(step), y: step == 3 ? 100 : Double(step)) }
    #expect(series.bins.map(\.rows) == [2, 2, 2])
    #expect(series.points.map(\.x) == [1.5, 3.5, 5.5])
    #expect(series.points.map(\.y) == [1.5, 52, 5.5])
    #expect(series.points[1].band == 4...100)
  }

  @Test func aMillionRowsTakeAFewBinsAndLoseNoExtreme() {
    var series = ThinnedSeries(capacity: 360)
    let count = 1_000_000
    for step in 0..<count { series.append(x: Double(step), y: step == 777_777 ? 50 : 1) }
    #expect((180...360).contains(series.bins.count))
    #expect(series.bins.reduce(0) { $0 + $1.rows } == count)
    let peaks = series.bins.filter { $0.range?.upperBound == 50 }
    #expect(peaks.count == 1 && abs(peaks[0].x - 777_777) < 4096)
    let sizes = Set(series.bins.dropLast().map(\.rows))
    #expect(sizes.count == 1)
  }

  @Test func rowsThatAreNotFiniteAreShownAndCounted() {
    var series = ThinnedSeries(capacity: 2)
    for (x, y) in [(1, 1), (2, .nan), (3, .infinity), (4, -.infinity)] as [(Double, Double)] {
      series.append(x: x, y: y)
    }
    #expect(series.lostRows == 3)
    #expect(series.bins.map(\.finiteRows) == [1, 0])
    #expect(series.points.count == 3)
    #expect(series.points[0].y == 1 && series.points[1].y.isNaN && series.points[2].y.isNaN)
  }
}
