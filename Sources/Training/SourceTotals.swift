import DataParallel
import LanguageModels

/// What one source of a mixture gave to a step.
public struct SourceTotal: Sendable {
  /// The source's name.
  public let name: String
  /// Mean loss in nats over its weighted targets; nil where the step has none of them.
  public internal(set) var loss: Double?
  /// Its share of the step's targets that count.
  public internal(set) var targetShare = 0.0
  /// Its share of the step's loss weight.
  public internal(set) var lossShare = 0.0
}

/// Losses, targets and weights of a step by source.
///
/// They are summed as the loss itself is, over the leaves of the reduction tree, so that neither ranks
/// nor threads change a bit. A step allocates nothing.
final class SourceTotals {
  /// The last step's totals.
  private(set) var sources: [SourceTotal]

  private let samples: StepSamples
  private let firstLeaf: Int
  /// Sums of `weight * nll`, `[leaf, source]`.
  private var losses: [Double]
  private var leaf = 0

  /// Prepares for samples that this rank computes in leaves `own`.
  init(_ samples: StepSamples, leaves own: Range<Int>) {
    self.samples = samples
    sources = samples.sourceNames.map { SourceTotal(name: $0) }
    firstLeaf = own.lowerBound
    losses = Array(repeating: 0, count: own.count * sources.count)
  }

  /// Says which leaf `add` is about.
  func begin(leaf: Int) {
    self.leaf = leaf
    for source in sources.indices { losses[index(leaf, source)] = 0 }
  }

  /// Adds the nats `[B, tokens]` of some tokens of the leaf's samples.
  func add(_ nll: UnsafePointer<Float>, tokens: Range<Int>, batch: Int) {
    let weights = samples.samples(ofLeaf: leaf).weights
    for b in 0..<batch {
      let row = b * samples.sequenceLength
      var sum = 0.0
      for (t, token) in tokens.enumerated() where weights[row + token] != 0 {
        sum += Double(weights[row + token]) * Double(nll[b * tokens.count + t])
      }
      losses[index(leaf, samples.source(ofLeaf: leaf, b))] += sum
    }
  }

  /// Sums over all leaves of all ranks; collective.
  func sum(_ reducer: GradientReducer) throws {
    var (targets, weight) = (0.0, 0.0)
    for source in sources.indices {
      let loss = try reducer.sum { self.losses[self.index($0, source)] }
      let ownWeight = try reducer.sum { self.samples.weight(ofLeaf: $0, source: source) }
      let ownTargets = try reducer.sum { self.samples.targets(ofLeaf: $0, source: source) }
      sources[source].loss = ownWeight > 0 ? loss / ownWeight : nil
      sources[source].lossShare = ownWeight
      sources[source].targetShare = ownTargets
      weight += ownWeight
      targets += ownTargets
    }
    for source in sources.indices {
      sources[source].lossShare /= weight
      sources[source].targetShare /= targets
    }
  }

  private func index(_ leaf: Int, _ source: Int) -> Int {
    (leaf - firstLeaf) * sources.count + source
  }
}
