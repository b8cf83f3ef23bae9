import Foundation
import RecallTasks
import TensorStorage

/// Per-sample numbers under the names of metrics, and what others are made of.
package enum FileTaskScoring {
  /// The scores of a question with choices.
  ///
  /// - Parameters:
  ///   - likelihoods: nats of each choice.
  ///   - tokens: how many each has.
  ///   - choices: their texts; nil where there is one continuation.
  ///   - gold: the right ones.
  ///   - comparesMeans: whether `acc` compares means a token.
  /// - Returns: the scores, and the choice of `acc`. Of equal choices the first wins.
  package static func choice(
    likelihoods: [Double], tokens: [Int], choices: [String]?, gold: [Int], comparesMeans: Bool
  ) -> (scores: [SampleRecord.Score], chosen: Int) {
    func best(_ sizes: [Int]?) -> Int {
      let values = likelihoods.indices.map { likelihoods[$0] / Double(sizes?[$0] ?? 1) }
      return values.indices.reduce(0) { values[$1] > values[$0] ? $1 : $0 }
    }
    func right(_ choice: Int) -> Double { gold.contains(choice) ? 1 : 0 }
    let chosen = best(comparesMeans ? tokens : nil)
    var scores = [
      SampleRecord.Score("acc", right(chosen)), SampleRecord.Score("chosen", Double(chosen)),
      SampleRecord.Score("gold", Double(gold[0])),
    ]
    if let choices {
      scores.append(.init("acc_norm", right(best(choices.map(\.unicodeScalars.count)))))
      scores.append(.init("acc_bytes", right(best(choices.map(\.utf8.count)))))
    }
    return (scores, chosen)
  }

  /// The scores of a generated text.
  ///
  /// Texts are compared by their bytes. `contains` and `string_match_all` ignore case; the latter takes
  /// control characters for line feeds, as RULER does.
  package static func text(
    _ prediction: String, answers: [String], match: FileTask.Match
  ) -> [SampleRecord.Score] {
    let text = match.applied(to: prediction)
    let references = answers.map { match.applied(to: $0) }
    func share(found text: String) -> Double {
      let lower = Array(text.lowercased().utf8)
      let found = references.count {
        $0.isEmpty || lower.firstRange(of: Array($0.lowercased().utf8)) != nil
      }
      return Double(found) / Double(references.count)
    }
    let isEqual = references.contains { $0.utf8.elementsEqual(text.utf8) }
    return [
      SampleRecord.Score("contains", share(found: text) > 0 ? 1 : 0),
      SampleRecord.Score("string_match_all", share(found: text.withoutControls)),
      SampleRecord.Score("exact_match", isEqual ? 1 : 0),
    ]
  }

  /// The size of a text, for likelihoods by byte and by word.
  package static func sizes(_ text: String) -> [SampleRecord.Score] {
    var words = 1
    var isInside = false
    for scalar in text.unicodeScalars {
      let isSpace = isPythonSpace(scalar)
      if isSpace && !isInside { words += 1 }
      isInside = isSpace
    }
    return [.init("bytes", Double(text.utf8.count)), .init("words", Double(words))]
  }
}

extension FileTask.Match {
  /// A text as it is compared.
  package func applied(to text: String) -> String {
    var text = text
    if stripsControls { text = text.withoutControls }
    if isFirstLine {
      text = String(text.unicodeScalars.prefix { $0 != "\n" })
    }
    if strips {
      let scalars = text.unicodeScalars.drop(while: isPythonSpace)
      let end = scalars.reversed().prefix(while: isPythonSpace).count
      text = String(scalars.dropLast(end))
    }
    if ignoresCase { text = text.lowercased() }
    if ignoresPunctuation {
      let marks = Set("!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~".unicodeScalars)
      text = String(String.UnicodeScalarView(text.unicodeScalars.filter { !marks.contains($0) }))
    }
    return text
  }
}

extension String {
  /// Control characters replaced by line feeds.
  fileprivate var withoutControls: String {
    String(String.UnicodeScalarView(unicodeScalars.map { $0.value < 0x20 ? "\n" : $0 }))
  }
}

extension FileTaskMetric {
  /// The metric over samples, with its standard error.
  ///
  /// - A mean: `s / sqrt(n)` with the sample standard deviation `s` (n - 1).
  /// - A ratio of sums, and an exponential of either: the delta method.
  /// - `macro_f1`: the standard deviation over 1000 bootstrap samples, drawn with a fixed seed.
  package func value(_ records: [SampleRecord]) -> MetricValue {
    switch self {
    case .perplexity:
      let summary = ScoreSummary(records.compactMap { $0.score("nll") })
      return MetricValue(summary.mean, summary.standardError).exponential
    case .bitsPerByte:
      let ratio = Self.ratio(records, of: "nll", to: "bytes")
      return MetricValue(ratio.value / M_LN2, ratio.standardError / M_LN2)
    case .bytePerplexity: return Self.ratio(records, of: "nll", to: "bytes").exponential
    case .wordPerplexity: return Self.ratio(records, of: "nll", to: "words").exponential
    case .macroF1: return Self.macroF1(records)
    default:
      let summary = ScoreSummary(records.compactMap { $0.score(rawValue) })
      return MetricValue(summary.mean, summary.standardError)
    }
  }

  private static func ratio(
    _ records: [SampleRecord], of numerator: String, to denominator: String
  ) -> MetricValue {
    let a = records.compactMap { $0.score(numerator) }
    let b = records.compactMap { $0.score(denominator) }
    let ratio = a.reduce(0, +) / b.reduce(0, +)
    let residuals = ScoreSummary(zip(a, b).map { $0 - ratio * $1 })
    return MetricValue(ratio, residuals.standardError / (b.reduce(0, +) / Double(max(b.count, 1))))
  }

  /// The mean F1 of the classes that occur as right or as chosen ones; F1 is 0 where nothing is right.
  private static func macroF1(_ records: [SampleRecord]) -> MetricValue {
    let pairs = records.compactMap { record in
      record.score("gold").flatMap { gold in record.score("chosen").map { (gold, $0) } }
    }
    func score(_ pairs: [(Double, Double)]) -> Double {
      let classes = Set(pairs.flatMap { [$0.0, $0.1] })
      let values = classes.sorted().map { label in
        let right = pairs.count { $0.0 == label && $0.1 == label }
        let all = pairs.count { $0.0 == label } + pairs.count { $0.1 == label }
        return 2 * Double(right) / Double(all)
      }
      return values.isEmpty ? .nan : values.reduce(0, +) / Double(values.count)
    }
    return MetricValue(score(pairs), Bootstrap(seed: 0).deviation(of: pairs, score))
  }
}

/// A number with its standard error.
public struct MetricValue: Sendable, Equatable {
  /// The number.
  public let value: Double
  /// Its standard error.
  public let standardError: Double

  /// Names both.
  public init(_ value: Double, _ standardError: Double) {
    (self.value, self.standardError) = (value, standardError)
  }

  /// `exp` of the number; its error is multiplied by the derivative.
  var exponential: MetricValue { MetricValue(exp(value), exp(value) * standardError) }
}

/// Draws samples with replacement; the draws depend on the seed only.
public struct Bootstrap: Sendable {
  /// Draws of all samples.
  public static let rounds = 1000

  /// What is drawn from.
  public let seed: UInt64

  /// Draws of that seed.
  public init(seed: UInt64) { self.seed = seed }

  /// A statistic of each draw, in order.
  public func values<Sample>(of samples: [Sample], _ statistic: ([Sample]) -> Double) -> [Double] {
    (0..<Self.rounds).map { round in
      var random = CounterRandom(seed: seed, purpose: "bootstrap", index: UInt64(round))
      let drawn = samples.indices.map { _ in
        samples[min(Int(random.uniform() * Double(samples.count)), samples.count - 1)]
      }
      return statistic(drawn)
    }
  }

  /// The standard deviation of a statistic over the draws; 0 for fewer than two samples.
  public func deviation<Sample>(
    of samples: [Sample], _ statistic: ([Sample]) -> Double
  ) -> Double {
    guard samples.count > 1 else { return 0 }
    let values = values(of: samples, statistic)
    let mean = values.reduce(0, +) / Double(values.count)
    let squares = values.reduce(0) { $0 + ($1 - mean) * ($1 - mean) }
    return (squares / Double(values.count - 1)).squareRoot()
  }
}
