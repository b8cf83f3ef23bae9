import Foundation
import JSON

/// A step whose update was not made because its loss or gradient cannot be right.
public struct Spike: Sendable {
  /// The step.
  public var step: Int
  /// Its loss.
  public var loss: Double
  /// Its gradient norm before clipping.
  public var gradientNorm: Double
  /// Standard deviations above the losses before; nil where these are too few.
  public var deviation: Double?
  /// What is wrong, for messages.
  public var what: String

  /// A row of `spikes.jsonl`: the step, what was done about it, and the samples of its batch.
  func row(_ policy: Recipe.OnSpike.Policy, batch: Int, samples: [StepSamples.Origin]) -> String {
    let members = [
      JSONMember("step", .integer(step)), JSONMember("loss", JSONValue(orText: loss)),
      JSONMember("grad_norm", JSONValue(orText: gradientNorm)),
      JSONMember("z", deviation.map { JSONValue(orText: $0) } ?? .null),
      JSONMember("policy", .string(policy.rawValue)), JSONMember("batch", .integer(batch)),
      JSONMember("samples", .array(samples.map(\.json))),
    ]
    return JSONValue.object(members).line
  }
}

extension StepSamples {
  /// Where a sample comes from.
  struct Origin {
    /// Its number in the run.
    var sample: UInt64
    /// Its source's name.
    var source: String
    /// Its number in the source.
    var index: UInt64
    /// The documents that it has tokens of, by their token file and their numbers in it.
    var documents: (file: String, numbers: ClosedRange<Int>)?

    var json: JSONValue {
      var members = [
        JSONMember("sample", .integer(sample)), JSONMember("source", .string(source)),
        JSONMember("index", .integer(index)),
      ]
      if let documents {
        let numbers = documents.numbers
        members.append(
          JSONMember(
            "documents", .array([.integer(numbers.lowerBound), .integer(numbers.upperBound)])))
        members.append(JSONMember("file", .string(documents.file)))
      }
      return .object(members)
    }
  }
}
