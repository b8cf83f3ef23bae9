import ErrorReporting
import Kernels
import LanguageModels
import RecallTasks
import TensorStorage
import TokenData

/// What each layer's recurrent state holds, and what it is worth.
///
/// What it holds: the spectrum of every head's state at the end of a sample (`StateSpectrum`). What it is
/// worth: what is lost when the layer forgets, its state set to zeros every `w` tokens while all else stays as
/// it is, tails of short convolutions included. It then remembers at most `w - 1` tokens. What its size is worth:
/// what is lost when every `w` tokens each head's state is replaced by the nearest matrix of half its rank, so that
/// the layer still remembers, but fewer things at a time.
///
/// Scores are those of the positions that count in a sample, the answers being given (teacher forcing), for
/// tasks on text too.
public struct MemoryProbe {
  /// Samples that are run through the model.
  public struct Subject {
    /// The name in the report.
    public let name: String
    /// Whether it measures recall; stored text does not.
    public let isRecall: Bool
    /// Where samples come from.
    public let source: any SampleSource
    /// How many of them are run.
    public let samples: Int

    /// Names them.
    public init(name: String, isRecall: Bool, source: any SampleSource, samples: Int) {
      (self.name, self.isRecall, self.source, self.samples) = (name, isRecall, source, samples)
    }
  }

  private let evaluated: EvaluatedModel
  private let windows: [Int]

  private struct Cut {
    let layer: Int
    let window: Int
    /// What each head's state is held to; 0 is a state of zeros.
    let rank: Int
  }

  /// Prepares a probe of a model.
  ///
  /// - Parameters:
  ///   - model: what is measured.
  ///   - windows: tokens after which a layer forgets; each is measured.
  /// - Precondition: there is a window, and all are at least 1.
  public init(_ model: EvaluatedModel, windows: [Int]) {
    require(!windows.isEmpty && windows.allSatisfy { $0 >= 1 }, "windows \(windows)")
    evaluated = model
    self.windows = windows
  }

  /// Measures; collective.
  ///
  /// It runs every sample `1 + 2 x layers x windows` times.
  ///
  /// - Throws: `EvaluationError.notFinite`, `.interrupted`; what the sources throw.
  public func measure(_ subjects: [Subject]) throws -> ProbeReport {
    let layers = evaluated.model.configuration.layers
    var report = ProbeReport(layers: layers, windows: windows)
    for subject in subjects {
      let intact = try records(subject, nil)
      report.subjects.append(ProbeReport.Subject(subject, intact))
      for layer in layers.indices {
        report.layers[layer].states.append(
          ProbeReport.heads(layers[layer].stateMatrices.heads, layer: layer, intact))
        for window in windows {
          for rank in [0, report.layers[layer].halfRank] {
            let cut = try records(subject, Cut(layer: layer, window: window, rank: rank))
            report.layers[layer].cuts.append(
              ProbeReport.Cut(subject.name, window: window, rank: rank, intact: intact, cut: cut))
          }
        }
      }
    }
    return report
  }

  private func records(_ subject: Subject, _ cut: Cut?) throws -> [SampleRecord] {
    let batches = SampleBatches(evaluated, subject.source, segmentLength: cut?.window)
    let name =
      cut.map { "\(subject.name) layer \($0.layer) window \($0.window) rank \($0.rank)" }
      ?? subject.name
    return try evaluated.records(
      name, length: subject.source.sequenceLength, units: batches.units(of: subject.samples)
    ) { unit in
      try batches.run(unit) { batch, pass in
        try scored(subject, cut, batch, pass, first: unit.lowerBound)
      }
    }
  }

  private func scored(
    _ subject: Subject, _ cut: Cut?, _ batch: SampleBatch, _ pass: SequencePass, first: Int
  ) throws -> [SampleRecord] {
    let model = evaluated.model
    let end = FloatBuffer(count: cut == nil ? model.stateCount(batch: batch.sampleCount) : 0)
    pass.atSegmentEnd = { state in
      if let cut {
        apply(cut, to: state, batch: batch.sampleCount)
      } else {
        copy(state, count: end.count, into: end.pointer)
      }
    }
    defer { pass.atSegmentEnd = nil }
    var records = try TokenAccuracy.scored(
      batch, pass, first: first, parameters: evaluated.parameters, task: subject.name,
      metric: TaskResult.accuracy)
    let losses = losses(batch, pass)
    for index in records.indices {
      guard losses[index]?.isFinite ?? true || pass.isGivenUp else {
        throw EvaluationError.notFinite(
          what: "the loss of sample \(first + index) of \(subject.name)")
      }
      records[index].scores += losses[index].map { [SampleRecord.Score("nll", $0)] } ?? []
      if cut == nil {
        records[index].scores += try spectra(
          of: index, end.pointer, batch: batch.sampleCount, subject.name)
      }
    }
    return records
  }

  private func apply(_ cut: Cut, to state: Floats, batch: Int) {
    let own = evaluated.model.recurrentState(ofBlock: cut.layer, batch: batch)
    guard cut.rank > 0 else { return zero(state + own.lowerBound, count: own.count) }
    let shape = evaluated.model.configuration.layers[cut.layer].stateMatrices
    for number in 0..<batch * shape.heads {
      StateSpectrum.limit(
        state + own.lowerBound + number * shape.matrixCount, rows: shape.rows,
        columns: shape.columns, toRank: cut.rank)
    }
  }

  /// Nats a counted token of each sample; nil where none counts.
  private func losses(_ batch: SampleBatch, _ pass: SequencePass) -> [Double?] {
    guard let samples = batch.sequenceSamples else { return [] }
    let length = batch.sequenceLength
    var (sums, weights) = (
      [Double](repeating: 0, count: batch.sampleCount),
      [Double](repeating: 0, count: batch.sampleCount)
    )
    _ = pass.loss(of: samples, parameters: evaluated.parameters.pointer) { start, count, nll in
      for index in sums.indices {
        for position in 0..<count {
          let weight = Double(samples.weights[index * length + start + position])
          guard weight > 0 else { continue }
          sums[index] += weight * Double(nll[index * count + position])
          weights[index] += weight
        }
      }
    }
    return zip(sums, weights).map { $1 > 0 ? $0 / $1 : nil }
  }

  /// Effective rank and energy of each layer's heads.
  private func spectra(
    of sample: Int, _ state: Floats, batch: Int, _ name: String
  ) throws(EvaluationError) -> [SampleRecord.Score] {
    var scores: [SampleRecord.Score] = []
    for (layer, configuration) in evaluated.model.configuration.layers.enumerated() {
      let shape = configuration.stateMatrices
      let own = evaluated.model.recurrentState(ofBlock: layer, batch: batch)
      for head in 0..<shape.heads {
        let number = sample * shape.heads + head
        let matrix = state + own.lowerBound + number * shape.matrixCount
        let spectrum = StateSpectrum(matrix, rows: shape.rows, columns: shape.columns)
        guard spectrum.energy.isFinite else {
          throw .notFinite(what: "the state of layer \(layer) on \(name)")
        }
        let metrics = ProbeReport.metrics(layer: layer, head: head)
        scores.append(SampleRecord.Score(metrics.rank, spectrum.effectiveRank))
        scores.append(SampleRecord.Score(metrics.energy, spectrum.energy))
      }
    }
    return scores
  }
}

extension EvaluationTask {
  /// The task's samples as a probe runs them, one subject for each length.
  ///
  /// - Parameters:
  ///   - vocabulary: ids of the model.
  ///   - seed: what the samples are drawn from.
  ///   - tokenizer: the model's; only tasks on text need one.
  /// - Returns: the subjects, in the order of the lengths.
  /// - Throws: `RecallTaskError`, or `EvaluationError.vocabulary`.
  public func subjects(
    vocabulary: Int, seed: UInt64, tokenizer: (any Tokenizer)?
  ) throws -> [MemoryProbe.Subject] {
    try lengths.map { length in
      let source = try TokenAccuracy.source(
        configuration, sequenceLength: length, seed: seed, vocabulary: vocabulary,
        tokenizer: tokenizer)
      try (source as? TextTask)?.checkRows(samples)
      let suffix = lengths.count > 1 ? " at \(length)" : ""
      return MemoryProbe.Subject(
        name: name + suffix, isRecall: true, source: source, samples: samples)
    }
  }
}
