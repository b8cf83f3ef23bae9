import Evaluation
import Foundation
import JSON
import Kernels
import LanguageModels
import Layers
import RecallTasks
import TensorStorage
import Testing
import TokenData

@Suite("Probe")
struct ProbeTests {
  /// Rows of random tokens; targets that do not count stand between those that do.
  private final class Rows: SampleSource {
    let sequenceLength: Int
    let sampleCount: Int? = nil
    let requiredVocabulary = 32
    /// What a sample is cut out of: this many whole rows of the source that is given.
    private let whole: (length: Int, part: Int)
    private let counts: Bool

    init(length: Int, part: Int = 0, of whole: Int? = nil, counts: Bool = true) {
      sequenceLength = length
      self.whole = (whole ?? length, part)
      self.counts = counts
    }

    func write(sample index: UInt64, into buffer: SampleBuffer) {
      for position in 0..<sequenceLength {
        let place = Int(index) * whole.length + whole.part * sequenceLength + position
        buffer.inputs[position] = Int32(place * place % 31 + 1)
        buffer.targets[position] = Int32((place + 1) * (place + 1) % 31 + 1)
        buffer.weights[position] = place % 3 == 0 || !counts ? 0 : 1
      }
    }
  }

  private func subject(_ source: some SampleSource, samples: Int = 5) -> MemoryProbe.Subject {
    MemoryProbe.Subject(name: "rows", isRecall: true, source: source, samples: samples)
  }

  /// One GLA block without convolutions: nothing but its recurrent state passes from token to token.
  private func singleLayer(segmentLength: Int = 64) -> EvaluatedModel {
    configureBLAS()
    let layer = GLAConfiguration(
      hiddenSize: 24, headCount: 2, keyDim: 16, valueDim: 24, intermediateSize: 32)
    let configuration = ModelConfiguration(
      family: .gla, hiddenSize: 24, vocabularySize: 32, normEpsilon: 1e-6, tiesEmbeddings: false,
      layers: [.gla(layer)])
    let parameters = ParameterArena(
      scratch: configuration,
      initialization: ScratchInitialization(embeddingDeviation: 0.7, linearDeviation: 0.4), seed: 5)
    return EvaluatedModel(
      LanguageModel(configuration), parameters: parameters.buffer, segmentLength: segmentLength)
  }

  @Test("forgetting every w tokens is reading w tokens at a time", arguments: [1, 6, 12])
  func forgettingIsReadingApart(window: Int) throws {
    let model = singleLayer()
    let report = try MemoryProbe(model, windows: [window]).measure([subject(Rows(length: 24))])
    // 24 tokens, two in three of which count, whatever the window; weights of the parts by their counts.
    let parts = try (0..<24 / window).map { part in
      try MemoryProbe(model, windows: [1]).measure(
        [subject(Rows(length: window, part: part, of: 24))])
    }
    let counts = (0..<24 / window).map { part in
      Double((0..<window).count { (part * window + $0) % 3 != 0 })
    }
    func mean(_ value: (ProbeReport.Subject) -> Double) -> Double {
      var sum = 0.0
      for (part, count) in zip(parts, counts) where count > 0 {
        sum += count * value(part.subjects[0])
      }
      return sum / 16
    }
    let (intact, cut) = (report.subjects[0], report.layers[0].cuts[0])
    #expect(cut.window == window && cut.name == "rows" && cut.lossGained.samples == 5)
    #expect(abs(intact.loss.mean + cut.lossGained.mean - mean(\.loss.mean)) < 1e-6)
    #expect(abs(intact.accuracy.mean - cut.accuracyLost.mean - mean(\.accuracy.mean)) < 1e-12)
    #expect(abs(cut.lossGained.mean) > 1e-3)
  }

  @Test("half the rank costs nothing while the state has no more, and something when it has")
  func halfRank() throws {
    // Heads of 8 x 12: after four tokens a state has rank 4.
    for (length, isFull) in [(5, false), (24, true)] {
      let report = try MemoryProbe(singleLayer(), windows: [1])
        .measure([subject(Rows(length: length))])
      let cuts = report.layers[0].cuts
      #expect(cuts.map(\.rank) == [0, 4] && cuts.map(\.window) == [1, 1])
      #expect(abs(cuts[0].lossGained.mean) > 1e-3)
      #expect((abs(cuts[1].lossGained.mean) > 1e-4) == isFull, "\(cuts[1])")
      if !isFull { #expect(abs(cuts[1].lossGained.mean) < 1e-6) }
      #expect(report.worth(ofLayer: 0) == (cuts[1].lossGained.mean, cuts[0].lossGained.mean))
    }
  }

  @Test("a layer that nobody hears costs nothing, the other is recommended")
  func silentLayer() throws {
    for silent in [0, 1] {
      let model = randomModel(vocabulary: 32)
      let family = model.model.configuration.family
      let slot = try #require(
        model.model.layout[family.layerPrefix(silent) + "attn.o_proj.weight"])
      (model.parameters.pointer + slot.offset).update(repeating: 0, count: slot.count)
      let report = try MemoryProbe(model, windows: [4, 1]).measure([subject(Rows(length: 30))])
      for cut in report.layers[silent].cuts {
        #expect(cut.accuracyLost == ScoreSummary([Double](repeating: 0, count: 5)))
        // Shorter segments round differently.
        #expect(abs(cut.lossGained.mean) < 1e-6)
      }
      let heard = report.layers[1 - silent].cuts
      for cut in heard where cut.rank == 0 { #expect(abs(cut.lossGained.mean) > 1e-3) }
      let wins = report.worth(ofLayer: 1 - silent) > report.worth(ofLayer: silent)
      #expect(report.order == (wins ? [1 - silent, silent] : [silent, 1 - silent]))
      #expect(report.recommended(1) == [report.order[0]] && report.recommended(2) == [0, 1])
    }
  }

  @Test("what no sample measures is null in the report, and left out of the order")
  func nothingCounts() throws {
    let rows = subject(Rows(length: 30))
    let silent = MemoryProbe.Subject(
      name: "silent", isRecall: true, source: Rows(length: 30, counts: false), samples: 2)
    let probe = MemoryProbe(randomModel(vocabulary: 32), windows: [4])
    let (report, known) = (try probe.measure([silent, rows]), try probe.measure([rows]))
    // Read strictly: NaN and Infinity are refused.
    let json = try report.json(choosing: 1).encoded().withUnsafeBytes {
      try JSONValue(parsing: $0, source: "probe.json")
    }
    let intact = try #require(json["intact"]?.array)
    #expect(intact[0]["samples"]?.integer() == 0 && intact[1]["samples"]?.integer() == 5)
    for name in ["accuracy", "nll"] {
      #expect(intact[0][name]?["mean"] == .null && intact[0][name]?["stderr"] == .null)
      #expect(intact[1][name]?["mean"]?.double != nil)
    }
    let cuts = (json["layers"]?.array ?? []).flatMap { $0["cuts"]?.array ?? [] }
    #expect(
      cuts.map { $0["accuracy_lost"]?["mean"] == .null }
        == [true, true, false, false, true, true, false, false])
    #expect(report.order == known.order && json["recommended"]?.array?.count == 1)
    for layer in 0..<2 { #expect(report.worth(ofLayer: layer) == known.worth(ofLayer: layer)) }
    #expect(try probe.measure([silent]).order == [0, 1])
  }

  @Test("states do not depend on segments; they are those at the end of a sample")
  func states() throws {
    func report(_ segment: Int) throws -> ProbeReport {
      try MemoryProbe(randomModel(vocabulary: 32, segmentLength: segment), windows: [3])
        .measure([subject(Rows(length: 40))])
    }
    let whole = try report(1 << 12)
    for segment in [7, 40] {
      let other = try report(segment)
      for (mine, theirs) in zip(other.layers, whole.layers) {
        #expect(
          mine.largestRank == theirs.largestRank && mine.states[0].count == theirs.states[0].count)
        for (a, b) in zip(mine.states[0], theirs.states[0]) {
          #expect(abs(a.effectiveRank.mean / b.effectiveRank.mean - 1) < 1e-4)
          #expect(abs(a.energyShare.mean - b.energyShare.mean) < 1e-5)
        }
      }
    }
    // Two heads of 8 x 12, then one of 16 x 24.
    #expect(whole.layers.map { $0.states[0].count } == [2, 1])
    #expect(whole.layers.map(\.largestRank) == [8, 16])
    #expect(whole.layers[1].states[0][0].energyShare.mean == 1)
    let shares = whole.layers[0].states[0].map(\.energyShare.mean)
    #expect(abs(shares[0] + shares[1] - 1) < 1e-12 && shares[0] != shares[1])
    for head in whole.layers.flatMap({ $0.states[0] }) {
      #expect(head.effectiveRank.mean > 1 && head.effectiveRank.mean < 16)
      #expect(head.effectiveRank.standardError > 0)
    }
    #expect(try report(1 << 12) == whole)
  }
}
