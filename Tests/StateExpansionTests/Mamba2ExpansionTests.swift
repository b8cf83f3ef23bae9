import Foundation
import LanguageModels
import Layers
import StateExpansion
import TensorStorage
import Testing

/// A Mamba2 model of two layers whose every number is distinct within its tensor.
private func model(
  groups: Int = 2, change: (inout Mamba2Configuration) -> Void = { _ in }
) -> (ModelConfiguration, ParameterArena) {
  var block = Mamba2Configuration(
    hiddenSize: 6, headCount: 4, headDim: 3, stateSize: 2, groupCount: groups)
  block.hasProjectionBias = true
  change(&block)
  let configuration = ModelConfiguration(
    family: .mamba2, hiddenSize: 6, vocabularySize: 9, normEpsilon: 1e-5, tiesEmbeddings: true,
    layers: [.mamba2(block), .mamba2(block)])
  let arena = ParameterArena(layout: configuration.layout())
  for slot in arena.layout.slots {
    for (i, index) in slot.range.enumerated() { arena.buffer.pointer[index] = Float(i + 2) / 64 }
  }
  return (configuration, arena)
}

private func mamba2(_ layer: LayerConfiguration) throws -> Mamba2Configuration {
  guard let block = layer.of(Mamba2Configuration.self) else { throw NotMamba2() }
  return block
}

private struct NotMamba2: Error {}

/// The rows of a tensor of layer 0.
private func rows(_ arena: ParameterArena, _ key: String) throws -> [[Float]] {
  let slot = try #require(arena.layout["backbone.layers.0.mixer." + key], "\(key)")
  let values = Array(arena.elements(slot))
  let width = values.count / slot.shape[0]
  return (0..<slot.shape[0]).map { Array(values[($0 * width)..<(($0 + 1) * width)]) }
}

/// Tensors with rows of B and C, and whether they are the convolution's.
private let tensors = [
  ("in_proj.weight", false), ("in_proj.bias", false), ("conv1d.weight", true),
  ("conv1d.bias", true),
]

@Suite struct Mamba2ExpansionTests {
  /// The rows of z, x and dt (or the channels of x) on one side, of B and C on the other.
  private func split(
    _ rows: [[Float]], _ layer: Mamba2Configuration, convolution: Bool
  ) -> (others: [[Float]], b: [[Float]], c: [[Float]]) {
    let layout = layer.projection
    let (b, c) =
      convolution ? (layout.bChannels, layout.cChannels) : (layout.b, layout.c)
    return (Array(rows[..<b.lowerBound] + rows[c.upperBound...]), Array(rows[b]), Array(rows[c]))
  }

  private func expand(
    _ model: (ModelConfiguration, ParameterArena), _ initialization: ExpansionInitialization,
    factor: Int = 3, seed: UInt64 = 4
  ) throws -> (ModelConfiguration, ParameterArena) {
    try ExpansionPlan(
      layers: .list([0]), size: .stateFactor(factor), initialization: initialization, seed: seed
    ).apply(configuration: model.0, parameters: model.1)
  }

  /// Checks everything that no initialisation touches, and hands B and C of each tensor to `check`.
  private func check(
    _ before: (ModelConfiguration, ParameterArena), _ after: (ModelConfiguration, ParameterArena),
    resets: [String] = [],
    _ check: (
      _ key: String, _ old: (b: [[Float]], c: [[Float]]), _ new: (b: [[Float]], c: [[Float]])
    )
      throws -> Void
  ) throws {
    let (old, new) = try (mamba2(before.0.layers[0]), mamba2(after.0.layers[0]))
    #expect(after.1.layout == after.0.layout() && after.0.base == before.0.base)
    #expect(after.0.layers[1] == before.0.layers[1])
    for (key, convolution) in tensors {
      let parts = try (
        split(rows(before.1, key), old, convolution: convolution),
        split(rows(after.1, key), new, convolution: convolution)
      )
      #expect(parts.0.others == parts.1.others, "\(key)")
      try check(key, (parts.0.b, parts.0.c), (parts.1.b, parts.1.c))
    }
    let rewritten = (tensors.map(\.0) + resets).map { "backbone.layers.0.mixer." + $0 }
    for slot in before.1.layout.slots where !rewritten.contains(slot.name) {
      let values = try #require(after.1[slot.name], "\(slot.name)")
      #expect(Array(values) == Array(before.1.elements(slot)), "\(slot.name)")
    }
  }

  private func bound(_ key: String) -> Float {
    switch key {
    case "in_proj.weight": 1 / Float(6).squareRoot()
    case "in_proj.bias": 0
    default: 0.5
    }
  }

  private func expectDrawn(_ rows: [[Float]], _ key: String) {
    let values = rows.joined()
    #expect(values.allSatisfy { abs($0) <= bound(key) }, "\(key)")
    guard bound(key) > 0 else { return }
    #expect(values.contains { abs($0) > bound(key) * 0.4 }, "\(key)")
    #expect(Set(values).count == values.count, "\(key)")
  }

  @Test(arguments: [1, 3]) func reinitializeDrawsBAndC(factor: Int) throws {
    let before = model()
    let after = try expand(before, .reinitialize, factor: factor)
    #expect(try mamba2(after.0.layers[0]).stateSize == 2 * factor)
    try check(before, after) { key, _, new in
      #expect(new.b.count == 4 * factor && new.c.count == 4 * factor)
      expectDrawn(new.b + new.c, key)
    }
  }

  @Test func paperAlsoResetsTheTimeScales() throws {
    let before = model()
    let after = try expand(before, .paper)
    try check(before, after, resets: ["A_log", "dt_bias", "norm.weight"]) { key, _, new in
      expectDrawn(new.b + new.c, key)
    }
    #expect(try rows(after.1, "dt_bias").joined().allSatisfy { $0 == 1 })
    #expect(try rows(after.1, "norm.weight").joined().allSatisfy { $0 == 1 })
    #expect(try rows(after.1, "D") == rows(before.1, "D"))
    for (head, value) in try rows(after.1, "A_log").joined().enumerated() {
      #expect(abs(Double(value) - log(Double(head + 1))) < 1e-6)
    }
  }

  @Test func inheritRepeatsEachGroup() throws {
    let before = model()
    let after = try expand(before, .inherit)
    try check(before, after) { key, old, new in
      for (old, new) in [(old.b, new.b), (old.c, new.c)] {
        let (first, second) = (Array(old[..<2]), Array(old[2...]))
        #expect(new == first + first + first + second + second + second, "\(key)")
      }
    }
  }

  @Test func preserveAddsLiveBAndSilentC() throws {
    let before = model()
    let after = try expand(before, .preserve)
    try check(before, after) { key, old, new in
      for group in 0..<2 {
        let (mine, others) = (group * 6..<(group * 6 + 2), (group * 6 + 2)..<(group * 6 + 6))
        #expect(Array(new.b[mine]) == Array(old.b[group * 2..<(group * 2 + 2)]), "\(key)")
        #expect(Array(new.c[mine]) == Array(old.c[group * 2..<(group * 2 + 2)]), "\(key)")
        expectDrawn(Array(new.b[others]), key)
        if key == "in_proj.weight" {
          expectDrawn(Array(new.c[others]), key)
        } else {
          #expect(new.c[others].joined().allSatisfy { $0 == 0 }, "\(key)")
        }
      }
    }
  }

  @Test func preserveAndInheritByFactorOneChangeNothing() throws {
    for initialization in [ExpansionInitialization.preserve, .inherit] {
      let before = model()
      let after = try expand(before, initialization, factor: 1)
      #expect(after.0 == before.0)
      #expect(after.1.buffer.array() == before.1.buffer.array())
    }
  }

  @Test func anExpansionIsRelativeToThePresentLayer() throws {
    let before = model()
    let twice = try expand(expand(before, .inherit, factor: 2), .inherit, factor: 2)
    let once = try expand(before, .inherit, factor: 4)
    #expect(twice.0 == once.0)
    #expect(twice.1.buffer.array() == once.1.buffer.array())
  }

  @Test func drawsDependOnSeedAndNameOnly() throws {
    let before = model()
    func drawn(_ layers: LayerSelection, seed: UInt64) throws -> [[Float]] {
      let plan = ExpansionPlan(layers: layers, size: .stateFactor(2), seed: seed)
      return try rows(
        plan.apply(configuration: before.0, parameters: before.1).1, "in_proj.weight")
    }
    #expect(try drawn(.list([0]), seed: 1) == drawn(.every(1), seed: 1))
    #expect(try drawn(.list([0]), seed: 1) != drawn(.list([0]), seed: 2))
  }

  @Test func modelsWithoutBiasesAreExpanded() throws {
    let before = model(groups: 1) {
      $0.hasProjectionBias = false
      $0.hasConvolutionBias = false
      $0.convolutionSize = 1
    }
    for initialization in ExpansionInitialization.allCases {
      let after = try expand(before, initialization)
      #expect(after.1.layout == after.0.layout())
      #expect(after.1["backbone.layers.0.mixer.in_proj.bias"] == nil)
    }
  }

  @Test func unavailablePlansAreRefused() throws {
    let (configuration, arena) = model()
    for (size, expected) in [
      (ExpansionSize.stateFactor(0), "expansion.state_factor is 0: must be at least 1"),
      (.stateFactor(-2), "expansion.state_factor is -2"),
      (.stateFactor(.max), "expansion.state_factor is"),
      (.stateFactor(40000), "expansion.state_factor is 40000: the state size 2 of layer 0"),
      (.heads(1), "expansion.heads is 1: Mamba2 layers are expanded by 'state_factor'"),
    ] {
      let error = #expect(throws: ExpansionError.self) {
        try ExpansionPlan(layers: .every(1), size: size)
          .apply(configuration: configuration, parameters: arena)
      }
      #expect(error?.description.hasPrefix(expected) == true, "\(error?.description ?? "")")
      #expect(error?.exitCode == 64)
    }
  }

  @Test func paddingIsZeroAndKeepsTheRest() throws {
    let before = try expand(model(), .inherit, factor: 2)
    let (configuration, arena) = try padToUniformState(
      configuration: before.0, parameters: before.1)
    #expect(configuration.layers.allSatisfy { $0 == configuration.base })
    #expect(try mamba2(configuration.base).stateSize == 4)
    for slot in before.1.layout.slots where slot.name.hasPrefix("backbone.layers.0.") {
      #expect(arena[slot.name].map(Array.init) == Array(before.1.elements(slot)), "\(slot.name)")
    }
    let layout = try mamba2(configuration.base).projection
    let weight = try #require(arena["backbone.layers.1.mixer.conv1d.weight"])
    for group in 0..<2 {
      for part in [layout.bChannels, layout.cChannels] {
        let first = part.lowerBound + group * 4
        #expect(weight[(first * 4)..<((first + 2) * 4)].allSatisfy { $0 != 0 })
        #expect(weight[((first + 2) * 4)..<((first + 4) * 4)].allSatisfy { $0 == 0 })
      }
    }
  }

  @Test func glaIsUniformOnlyWhereItsLayersAreEqual() throws {
    let block = GLAConfiguration(
      hiddenSize: 4, headCount: 2, keyDim: 2, valueDim: 4, intermediateSize: 4)
    var mixing = block
    mixing.hasHeadMixing = true
    for (layers, problem) in [
      ([block.dividedIntoHeads(1), block.dividedIntoHeads(1)], nil),
      ([block, block.dividedIntoHeads(1)], "layer 1 has a state of 1 x 2 x 4"),
      ([mixing, mixing], "layer 0 mixes its heads"),
    ] {
      let configuration = ModelConfiguration(
        family: .gla, hiddenSize: 4, vocabularySize: 5, normEpsilon: 1e-6, tiesEmbeddings: true,
        layers: layers.map { .gla($0) }, base: .gla(block))
      let arena = ParameterArena(layout: configuration.layout())
      do throws(ExpansionError) {
        let uniform = try padToUniformState(configuration: configuration, parameters: arena)
        #expect(problem == nil && uniform.0 == configuration && uniform.1 === arena)
      } catch {
        #expect(error.exitCode == 64)
        #expect(error.description.contains(problem ?? "no error"), "\(error)")
      }
    }
  }

  @Test func publishedModelExpandedAsInThePaper() throws {
    let block = Mamba2Configuration(hiddenSize: 2048, headCount: 64, headDim: 64, stateSize: 128)
    let published = ModelConfiguration(
      family: .mamba2, hiddenSize: 2048, vocabularySize: 50288, normEpsilon: 1e-5,
      tiesEmbeddings: true, layers: Array(repeating: .mamba2(block), count: 48))
    var plan = ExpansionPlan(layers: .every(6), size: .stateFactor(4))
    let report = try ExpansionReport(of: plan, applyingTo: published)
    #expect(report.stateBefore == 25_165_824 && report.stateAfter == 37_748_736)
    #expect(report.newMatrixParameters == 8 * 768 * (2048 + 4))
    #expect(report.newVectorParameters == 8 * 768)
    #expect(report.warnings.isEmpty && !report.description.contains("warning"))
    #expect(report.layers.first?.shapeAfter == "64 x 512 x 64")
    plan = ExpansionPlan(layers: .every(1), size: .stateFactor(4), initialization: .paper)
    let all = try ExpansionReport(of: plan, applyingTo: published)
    #expect(all.stateAfter == 100_663_296 && all.parametersAfter == 1_419_439_104)
    #expect(all.description.contains("\nwarning: init: paper resets"))
    plan.initialization = .inherit
    #expect(
      try ExpansionReport(of: plan, applyingTo: published).description
        .contains("\nwarning: init: inherit repeats"))
  }
}
