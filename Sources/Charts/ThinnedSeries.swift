/// A series of any length in bounded memory: means and extremes over equal numbers of its rows.
///
/// Rows go into bins one after the other. When there are `capacity` bins and another row comes, neighbors are put
/// together and every bin from then on takes twice as many rows. A series of at most `capacity` rows is kept as it is.
public struct ThinnedSeries: Sendable, Equatable {
  /// Consecutive rows.
  public struct Bin: Sendable, Equatable {
    /// Rows in it.
    public private(set) var rows: Int
    /// Rows among them whose value is finite.
    public private(set) var finiteRows: Int
    /// Sums over all rows, and over the finite ones.
    private var (sumX, sumY): (Double, Double)
    /// The extremes of the finite values; nil where there is none.
    public private(set) var range: ClosedRange<Double>?

    init(x: Double, y: Double) {
      (rows, sumX) = (1, x)
      (finiteRows, sumY, range) = y.isFinite ? (1, y, y...y) : (0, 0, nil)
    }

    mutating func add(_ other: Bin) {
      rows += other.rows
      finiteRows += other.finiteRows
      (sumX, sumY) = (sumX + other.sumX, sumY + other.sumY)
      guard let theirs = other.range else { return }
      guard let own = range else {
        range = theirs
        return
      }
      range =
        min(own.lowerBound, theirs.lowerBound)...max(own.upperBound, theirs.upperBound)
    }

    /// The mean place of its rows.
    public var x: Double { sumX / Double(rows) }
    /// The mean of its finite values; NaN where there is none.
    public var y: Double { finiteRows > 0 ? sumY / Double(finiteRows) : .nan }
  }

  /// The bins, in the order of the rows.
  public private(set) var bins: [Bin] = []
  /// Rows that were not finite.
  public private(set) var lostRows = 0
  private let capacity: Int
  private var rowsPerBin = 1

  /// An empty series of at most `capacity` bins, an even number.
  public init(capacity: Int = 360) {
    precondition(capacity >= 2 && capacity.isMultiple(of: 2), "an even number of bins")
    self.capacity = capacity
  }

  /// Adds a row.
  public mutating func append(x: Double, y: Double) {
    if !y.isFinite { lostRows += 1 }
    let row = Bin(x: x, y: y)
    if let last = bins.last, last.rows < rowsPerBin {
      bins[bins.count - 1].add(row)
      return
    }
    if bins.count == capacity { halve() }
    if let last = bins.last, last.rows < rowsPerBin {
      bins[bins.count - 1].add(row)
    } else {
      bins.append(row)
    }
  }

  private mutating func halve() {
    bins = stride(from: 0, to: bins.count, by: 2).map { index in
      var bin = bins[index]
      bin.add(bins[index + 1])
      return bin
    }
    rowsPerBin *= 2
  }

  /// The bins as points, their extremes as bands where rows were put together.
  ///
  /// A bin with a row that is not finite is followed by a point that is not, so that it shows.
  public var points: [LinePlot.Point] {
    bins.flatMap { bin in
      let isMean = bin.finiteRows > 1
      var points: [LinePlot.Point] = []
      if bin.finiteRows > 0 {
        points.append(LinePlot.Point(x: bin.x, y: bin.y, band: isMean ? bin.range : nil))
      }
      if bin.finiteRows < bin.rows { points.append(LinePlot.Point(x: bin.x, y: .nan)) }
      return points
    }
  }
}
