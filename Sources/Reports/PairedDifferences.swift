import Evaluation
import JSON

/// The differences of a column from another one, on the samples that both have.
package struct PairedDifferences {
  /// A mean difference.
  package struct Difference {
    /// The mean over samples.
    package let mean: Double
    /// Of the mean of the samples' differences.
    package let standardError: Double
    /// What holds 95 % of the bootstrap's means.
    package let interval: ClosedRange<Double>
    /// How many samples both have.
    package let samples: Int
  }

  /// What the column is called.
  package let title: String
  /// Empty unless both are logs of samples; without numbers that are not finite in a sample.
  package private(set) var values: [MeasuredKey: Difference] = [:]

  /// Pairs samples.
  ///
  /// - Parameters:
  ///   - column: what is compared.
  ///   - first: what it is compared with.
  ///   - keys: which numbers.
  ///   - seed: of the bootstrap.
  /// - Throws: `ReportError.data` for logs of different measurements.
  package init(
    of column: MeasuredColumn, from first: MeasuredColumn, _ keys: [MeasuredKey], seed: UInt64
  ) throws(ReportError) {
    title = column.title
    guard let own = column.log, let other = first.log else { return }
    let names = (own.header + other.header).map(\.name)
    if let name = names.first(where: { $0 != "model" && own.header[$0] != other.header[$0] }) {
      throw .data(
        "\(first.title) and \(column.title)", "samples of different measurements: `\(name)` differs"
      )
    }
    for key in keys {
      guard let mine = own.scores[key], let theirs = other.scores[key] else { continue }
      let differences = mine.sorted { $0.key < $1.key }.compactMap { id, score in
        theirs[id].map { score - $0 }
      }
      guard !differences.isEmpty, differences.allSatisfy(\.isFinite) else { continue }
      values[key] = Self.difference(differences, seed: seed)
    }
  }

  /// Nil where sums are not finite.
  private static func difference(_ differences: [Double], seed: UInt64) -> Difference? {
    func mean(_ values: [Double]) -> Double { values.reduce(0, +) / Double(values.count) }
    let drawn = Bootstrap(seed: seed).values(of: differences, mean).sorted()
    guard drawn.allSatisfy(\.isFinite) else { return nil }
    let tail = drawn.count / 40
    let average = mean(differences)
    let squares = differences.reduce(0) { $0 + ($1 - average) * ($1 - average) }
    let count = Double(differences.count)
    return Difference(
      mean: average,
      standardError: count > 1 ? (squares / (count - 1) / count).squareRoot() : 0,
      interval: drawn[tail]...drawn[drawn.count - 1 - tail], samples: differences.count)
  }
}
