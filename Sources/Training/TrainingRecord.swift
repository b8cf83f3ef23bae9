import Fields
import JSON
import LanguageModels
import TokenData

/// What identifies a run's data: what must not change when the run is resumed.
package struct DataIdentity: Equatable {
  /// A source by its content; where its files are does not matter.
  package struct Source: Equatable {
    /// What it provides: a fingerprint of token files, or a task with its options.
    package var content: String
    /// What the recipe calls it, for messages.
    package var name: String

    /// Names the parts.
    package init(content: String, name: String) {
      (self.content, self.name) = (content, name)
    }
  }

  /// Keys of the recipe that decide the order of samples, with their values.
  package var settings: [(field: String, value: String)]
  /// The sources, in the order of their numbers.
  package var sources: [Source]
  /// Their weights.
  package var weights: [Double]

  /// Names the parts.
  package init(
    settings: [(field: String, value: String)], sources: [Source], weights: [Double]
  ) {
    (self.settings, self.sources, self.weights) = (settings, sources, weights)
  }

  package static func == (a: DataIdentity, b: DataIdentity) -> Bool {
    a.settings.elementsEqual(b.settings, by: ==) && a.sources == b.sources
      && a.weights == b.weights
  }
}

/// What a checkpoint says about the run beside its weights.
///
/// Version 2, or 3 when batches were left out, which older programs would train on. Version 1, without
/// `version`, names token files by their prefix and does not say which function the model computes nor
/// which learning rate the last step had.
package struct TrainingRecord {
  /// Steps done.
  package var step: Int
  /// Tokens trained on.
  package var tokens: Int
  /// Learning rate of the last step; nil before the first one, or if not recorded.
  package var learningRate: Double?
  /// Keys of the recipe that must not change, with their values.
  package var settings: [(field: String, value: String)]
  /// The function of the model; nil if not recorded.
  package var model: ModelIdentity?
  /// The sources so far.
  package var sources: [DataIdentity.Source]
  /// How they were mixed, phase by phase.
  package var phases: [Mixture.Phase]
  /// Loss of the last step; nil before the first one, or if not recorded.
  package var loss: Double?
  /// The spikes so far, and what was left out because of them.
  package var spikes = SpikeHistory()
  /// The recipe's keys with their values; empty if not recorded.
  package var recipe: [(name: String, value: String)] = []
  /// What the run's bits may depend on; nil if not recorded.
  package var environment: RunEnvironment?
  /// XXH64 of whole token files, by their fingerprints, as far as they were gone through.
  package var tokenHashes: [String: String] = [:]
}

// MARK: - As stored in the manifest

extension TrainingRecord {
  private static let version = 3

  /// As stored in the manifest.
  package var json: JSONValue {
    var members = [
      JSONMember("version", .integer(spikes.gaps.isEmpty ? 2 : Self.version)),
      JSONMember("step", .integer(step)),
      JSONMember("tokens", .integer(tokens)),
    ]
    if let learningRate { members.append(JSONMember("learning_rate", JSONValue(learningRate))) }
    if let loss { members.append(JSONMember("loss", JSONValue(loss))) }
    members.append(
      JSONMember(
        "identity", .object(settings.map { JSONMember($0.field, .string($0.value)) })))
    members.append(JSONMember("sources", .array(sources.map(\.json))))
    members.append(JSONMember("phases", .array(phases.map(\.json))))
    if let model { members.append(JSONMember("model", model.json)) }
    func texts(_ entries: [(name: String, value: String)]) -> JSONValue {
      .object(entries.map { JSONMember($0.name, .string($0.value)) })
    }
    if let environment { members.append(JSONMember("environment", texts(environment.entries))) }
    if !recipe.isEmpty { members.append(JSONMember("recipe", texts(recipe))) }
    if !tokenHashes.isEmpty {
      let sorted = tokenHashes.sorted { $0.key < $1.key }
      members.append(JSONMember("token_hashes", texts(sorted.map { ($0.key, $0.value) })))
    }
    if let spikes = spikes.json { members.append(JSONMember("spikes", spikes)) }
    return .object(members)
  }

  /// Reads what a checkpoint has.
  ///
  /// - Parameters:
  ///   - json: the manifest's field `training`.
  ///   - path: the checkpoint, for errors.
  /// - Throws: `TrainingError.record` when it cannot be understood.
  package init(_ json: JSONValue, path: String) throws(TrainingError) {
    do throws(FieldError) {
      let value = FieldValue(json: json, place: .source(path))
      try self.init(FieldReader(value, path: "training", keys: nil))
    } catch {
      throw .record(error)
    }
    model = json["model"].map(ModelIdentity.init(stored:))
  }

  private init(_ reader: FieldReader) throws(FieldError) {
    let version = try reader.integer("version", default: 1, .atLeast(1))
    guard version <= Self.version else {
      throw reader.invalid(
        "version", "must be at most \(Self.version), found \(version): use a newer statex")
    }
    step = try reader.integer("step", .atLeast(0))
    tokens = try reader.integer("tokens", .atLeast(0), atMost: 1 << 62)
    learningRate = try reader.optionalNumber("learning_rate")
    loss = try reader.optionalNumber("loss")
    recipe = try Self.texts(reader, "recipe") ?? []
    environment = try Self.texts(reader, "environment").map { RunEnvironment($0) }
    for (fingerprint, hash) in try Self.texts(reader, "token_hashes") ?? [] {
      tokenHashes[fingerprint] = hash
    }
    if reader.value("spikes") != nil { spikes = try SpikeHistory(stored: reader.mapping("spikes")) }
    settings = []
    let identity = try reader.mapping("identity")
    for entry in identity.entries {
      settings.append((entry.key, try identity.text(entry.key, orEmpty: true)))
    }
    (sources, phases) = ([], [])
    guard version > 1 else {
      guard readFirstVersion() else {
        throw reader.invalid("identity", "does not name the sources and their weights")
      }
      return
    }
    for source in try reader.mappings("sources") {
      sources.append(try DataIdentity.Source(stored: source))
    }
    for phase in try reader.mappings("phases") {
      phases.append(try Mixture.Phase(stored: phase))
    }
    guard phases.last?.weights.count == sources.count else {
      throw reader.invalid("phases", "must end with a weight for each of the sources")
    }
  }

  private static func texts(
    _ reader: FieldReader, _ key: String
  ) throws(FieldError) -> [(name: String, value: String)]? {
    guard reader.value(key) != nil else { return nil }
    let texts = try reader.mapping(key)
    var entries: [(name: String, value: String)] = []
    for entry in texts.entries {
      entries.append((entry.key, try texts.text(entry.key, orEmpty: true)))
    }
    return entries
  }

  /// Takes the sources of version 1 out of the settings, where they stood one field each, and adds what
  /// was not a choice yet.
  private mutating func readFirstVersion() -> Bool {
    let prefix = "data.sources."
    var weights: [Double] = []
    var rest: [(field: String, value: String)] = []
    for (field, value) in settings where field != "the number of data.sources" {
      if !field.hasPrefix(prefix) {
        rest.append((field, value))
      } else if field.hasSuffix(".weight") {
        guard let weight = Double(value) else { return false }
        weights.append(weight)
      } else if let loss = field.range(of: ".loss and .loss_weight") {
        rest.append((field[..<loss.lowerBound] + ".loss", value))
      } else if let open = field.range(of: " (content of "), field.hasSuffix(")") {
        let name = String(field[open.upperBound...].dropLast())
        sources.append(.init(content: "tokens " + value, name: name))
      } else {
        sources.append(.init(content: "task " + value, name: value))
      }
    }
    let before =
      [("data.predict_across_documents", "true")]
      + sources.indices.map { ("\(prefix)\($0).loss", "token x 1.0") }
    rest += before.filter { added in !rest.contains { $0.field == added.0 } }
    settings = rest
    phases = [Mixture.Phase(firstSample: 0, weights: weights)]
    return !weights.isEmpty && weights.count == sources.count
  }
}

extension DataIdentity.Source {
  fileprivate var json: JSONValue {
    .object([JSONMember("content", .string(content)), JSONMember("name", .string(name))])
  }

  fileprivate init(stored: FieldReader) throws(FieldError) {
    self.init(
      content: try stored.text("content", orEmpty: true),
      name: try stored.text("name", orEmpty: true))
  }
}

extension Mixture.Phase {
  fileprivate var json: JSONValue {
    .object([
      JSONMember("first_sample", .integer(firstSample)),
      JSONMember("weights", .array(weights.map { JSONValue($0) })),
    ])
  }

  fileprivate init(stored: FieldReader) throws(FieldError) {
    self.init(
      firstSample: UInt64(try stored.integer("first_sample", .atLeast(0), atMost: 1 << 62)),
      weights: try stored.numbers("weights", .above(0)))
  }
}

// MARK: - Going on

extension TrainingRecord {
  /// Refuses to go on with another model function or other data than the checkpoint was trained on.
  ///
  /// Sources may be added behind those of the checkpoint, and weights may change: what comes is then a
  /// new phase of the mixture, and what was trained on stays as it was.
  ///
  /// - Parameters:
  ///   - data: what the recipe says now.
  ///   - settings: further keys of the recipe that must not change.
  ///   - model: the function of the recipe's model.
  ///   - nextSample: the global sample with which the run goes on.
  /// - Returns: the phases of the mixture from the first step on.
  /// - Throws: `TrainingError.changed` naming the first difference.
  package func resuming(
    with data: DataIdentity, _ settings: [(field: String, value: String)],
    model: ModelIdentity, nextSample: UInt64
  ) throws(TrainingError) -> [Mixture.Phase] {
    for (field, now) in data.settings + settings {
      // Keys that are younger than the checkpoint are not in it.
      guard let was = self.settings.first(where: { $0.field == field })?.value else { continue }
      guard was == now else { throw .changed(field: field, was: was, now: now) }
    }
    if let change = self.model?.difference(to: model) {
      throw .changed(field: change.field, was: change.was, now: change.now)
    }
    for (index, was) in sources.enumerated() {
      let now = index < data.sources.count ? data.sources[index] : nil
      guard was.content != now?.content else { continue }
      throw .changed(
        field: "data.sources.\(index)", was: Self.text(was), now: now.map(Self.text) ?? "nothing")
    }
    return phases(continuedWith: data.weights, from: nextSample)
  }

  private static func text(_ source: DataIdentity.Source) -> String {
    source.content.hasSuffix(source.name) ? source.name : "\(source.name) (\(source.content))"
  }

  private func phases(
    continuedWith weights: [Double], from nextSample: UInt64
  ) -> [Mixture.Phase] {
    guard let last = phases.last, Self.shares(last.weights) != Self.shares(weights) else {
      return phases
    }
    // A phase that has given no sample yet leaves no trace.
    return phases.filter { $0.firstSample < nextSample }
      + [Mixture.Phase(firstSample: nextSample, weights: weights)]
  }

  private static func shares(_ weights: [Double]) -> [Double] {
    let sum = weights.reduce(0, +)
    return weights.map { $0 / sum }
  }
}
