import Foundation
import TokenData

/// What one source of a mixture gives, as shares of the whole.
struct DataShare: CustomStringConvertible {
  /// Of the samples, and so of the tokens that the model reads.
  var samples: Double
  /// Of the targets that count.
  var targets: Double
  /// Of the weight in the loss.
  var loss: Double

  /// Samples of each source that are looked at.
  private static let looked = 8

  /// The shares of all sources, judged by each one's first samples.
  ///
  /// - Throws: what a source throws when its data are damaged.
  static func shares(of stream: DataStream) throws -> [DataShare] {
    let batch = SampleBatch(sampleCount: 1, sequenceLength: stream.sequenceLength)
    var shares = try stream.sources.map { source in
      var share = DataShare(samples: source.weight, targets: 0, loss: 0)
      if let text = source.samples as? TextSource, text.epochSampleCount == nil {
        // Of text that was not tokenized yet all targets count, or nearly.
        share.targets = source.weight * Double(stream.sequenceLength)
        share.loss = share.targets * source.loss.factor
        return share
      }
      let count = min(source.samples.sampleCount ?? looked, looked)
      for index in 0..<count {
        try source.write(sample: UInt64(index), into: batch[0])
        for weight in batch.weights where weight != 0 {
          share.targets += source.weight / Double(count)
          share.loss += source.weight / Double(count) * Double(weight)
        }
      }
      return share
    }
    for part in [\DataShare.samples, \.targets, \.loss] {
      let sum = shares.reduce(0) { $0 + $1[keyPath: part] }
      for index in shares.indices where sum > 0 { shares[index][keyPath: part] /= sum }
    }
    return shares
  }

  /// The three shares in percent.
  var description: String {
    func percent(_ share: Double) -> String { String(format: "%.3g %%", 100 * share) }
    return "\(percent(samples)) of samples, \(percent(targets)) of targets, "
      + "\(percent(loss)) of the loss"
  }
}
