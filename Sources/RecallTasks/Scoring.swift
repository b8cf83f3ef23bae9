import Foundation
import TokenData

/// How one generated text is scored against its references.
public enum GenerationMetric: String, Sendable, CaseIterable {
  /// 1 when any reference is a substring of the prediction, ignoring case.
  case contains
  /// The fraction of references that are substrings of the prediction, ignoring case, after
  /// replacing control characters by newlines and trimming (RULER).
  case stringMatchAll = "string_match_all"
  /// 1 when the first line of the prediction, trimmed, equals any reference.
  case exactMatch = "exact_match"

  /// The score of one prediction, between 0 and 1; 0 when there is no reference.
  public func score(_ prediction: String, references: [String]) -> Double {
    guard !references.isEmpty else { return 0 }
    switch self {
    case .contains:
      let text = prediction.lowercased()
      return references.contains { text.contains($0.lowercased()) } ? 1 : 0
    case .stringMatchAll:
      let text = Self.withoutControls(prediction).lowercased()
      let found = references.count { text.contains($0.lowercased()) }
      return Double(found) / Double(references.count)
    case .exactMatch:
      let line = prediction.split(separator: "\n", omittingEmptySubsequences: false).first ?? ""
      let trimmed = line.trimmingCharacters(in: .whitespacesAndNewlines)
      return references.contains(trimmed) ? 1 : 0
    }
  }

  private static func withoutControls(_ text: String) -> String {
    var scalars = String.UnicodeScalarView()
    for scalar in text.unicodeScalars { scalars.append(scalar.value < 0x20 ? "\n" : scalar) }
    return String(scalars).trimmingCharacters(in: .whitespacesAndNewlines)
  }
}

/// Accuracy over a sample's counted positions: the mean of `prediction == target`.
///
/// - Parameters:
///   - predictions: the most likely id after each position, `[T]`.
///   - sample: the sample that was predicted.
/// - Returns: a number in 0...1, or nil when no position counts.
public func tokenAccuracy(
  predictions: UnsafeBufferPointer<Int32>, sample: SampleBuffer
) -> Double? {
  var counted = 0
  var correct = 0
  for position in 0..<sample.sequenceLength where sample.weights[position] > 0 {
    counted += 1
    correct += predictions[position] == sample.targets[position] ? 1 : 0
  }
  return counted == 0 ? nil : Double(correct) / Double(counted)
}

/// Mean and standard error of a task's per-sample scores.
public struct ScoreSummary: Sendable, Equatable {
  /// The arithmetic mean; NaN without samples.
  public let mean: Double

  /// Sample standard deviation (n-1) over the root of n; 0 for one sample, NaN without samples.
  public let standardError: Double

  /// Number of scores.
  public let samples: Int

  /// Summarises `scores`.
  public init(_ scores: [Double]) {
    samples = scores.count
    guard !scores.isEmpty else {
      mean = .nan
      standardError = .nan
      return
    }
    let count = Double(scores.count)
    let average = scores.reduce(0, +) / count
    mean = average
    let squares = scores.reduce(0) { $0 + ($1 - average) * ($1 - average) }
    standardError = scores.count == 1 ? 0 : (squares / (count - 1) / count).squareRoot()
  }
}
