import LanguageModels
import Layers
import StateExpansion
import TensorStorage
import Testing

/// A small GLA model; every norm weight and bias is made distinct, so copies can be told apart.
private func model(
  layers: Int = 4, change: (inout GLAConfiguration) -> Void = { _ in }
) -> (ModelConfiguration, ParameterArena) {
  var block = GLAConfiguration(
    hiddenSize: 32, headCount: 4, keyDim: 16, valueDim: 32, intermediateSize: 24)
  change(&block)
  let configuration = ModelConfiguration(
    family: .gla, hiddenSize: 32, vocabularySize: 20, normEpsilon: 1e-6, tiesEmbeddings: false,
    layers: Array(repeating: .gla(block), count: layers))
  let arena = ParameterArena(
    scratch: configuration, initialization: ScratchInitialization(), seed: 3)
  for slot in arena.layout.slots where slot.shape.count == 1 {
    for (i, element) in arena.elements(slot).indices.enumerated() {
      arena.elements(slot)[element] = 1 + Float(i) / 64
    }
  }
  return (configuration, arena)
}

private func gla(_ layer: LayerConfiguration) -> GLAConfiguration {
  guard let block = layer.of(GLAConfiguration.self) else {
    preconditionFailure("expected a GLA layer")
  }
  return block
}

private func values(_ arena: ParameterArena, _ name: String) throws -> [Float] {
  Array(try #require(arena[name], "\(name)"))
}

private let projections = [
  "q_proj.weight", "k_proj.weight", "v_proj.weight", "g_proj.weight", "o_proj.weight",
  "gk_proj.0.weight", "gk_proj.1.weight",
]

@Suite struct ExpansionTests {
  private func expectEqual(
    _ first: ParameterArena, _ second: ParameterArena, except isExcepted: (String) -> Bool
  ) throws {
    for slot in first.layout.slots where !isExcepted(slot.name) {
      let pair = try (values(first, slot.name), values(second, slot.name))
      #expect(pair.0.map(\.bitPattern) == pair.1.map(\.bitPattern), "\(slot.name)")
    }
  }

  @Test(arguments: [1, 2, 4])
  func headsAreMerged(heads: Int) throws {
    let (configuration, arena) = model()
    let plan = ExpansionPlan(layers: .list([0, 2]), size: .heads(heads))
    let (expanded, parameters) = try plan.apply(configuration: configuration, parameters: arena)
    #expect(parameters.layout == expanded.layout())
    #expect(expanded.base == configuration.base)
    for index in 0..<4 {
      let block = gla(expanded.layers[index])
      guard index % 2 == 0 else {
        #expect(expanded.layers[index] == configuration.layers[index])
        continue
      }
      #expect(block.headCount == heads && block.keyValueHeadCount == heads)
      #expect(block.headKeyDim == 16 / heads && block.headValueDim == 32 / heads)
      #expect(block.recurrentStateCount == 512 / heads)
      let norm = parameters.layout["model.layers.\(index).attn.g_norm_swish_gate.weight"]
      #expect(norm?.shape == [32 / heads])
    }
  }

  @Test(arguments: [ExpansionInitialization.reinitialize, .paper])
  func reinitialisedWeightsFollowTheirDefinition(
    initialization: ExpansionInitialization
  ) throws {
    let (configuration, arena) = model { $0.convolutionSize = 4 }
    let plan = ExpansionPlan(
      layers: .every(2), size: .heads(1), initialization: initialization, seed: 11)
    let (_, parameters) = try plan.apply(configuration: configuration, parameters: arena)
    for index in [0, 2] {
      let prefix = "model.layers.\(index)."
      for name in projections {
        let slot = try #require(parameters.layout[prefix + "attn." + name])
        let bound = 0.17677669529663687 * (6 / Double(slot.shape[0] + slot.shape[1])).squareRoot()
        let drawn = Array(parameters.elements(slot)).map(Double.init)
        #expect(drawn.allSatisfy { abs($0) <= bound * (1 + 1e-6) }, "\(name)")
        #expect(drawn.contains { abs($0) > bound * 0.95 }, "\(name)")
        // A uniform's variance is b^2 / 3; with n draws its relative error is about 0.9 / sqrt(n).
        let variance = drawn.reduce(0) { $0 + $1 * $1 } / Double(drawn.count)
        let tolerance = 4.5 / Double(drawn.count).squareRoot()
        #expect(abs(variance / (bound * bound / 3) - 1) < tolerance, "\(name)")
        #expect(try values(arena, slot.name) != values(parameters, slot.name))
      }
      for name in ["q_conv1d.weight", "k_conv1d.weight", "v_conv1d.weight"] {
        let drawn = try values(parameters, prefix + "attn." + name)
        #expect(drawn.allSatisfy { abs($0) <= 0.5 } && drawn.contains { abs($0) > 0.4 })
      }
      #expect(try values(parameters, prefix + "attn.gk_proj.1.bias").allSatisfy { $0 == 0 })
      #expect(try values(parameters, prefix + "attn_norm.weight").allSatisfy { $0 == 1 })
      let norm = try values(parameters, prefix + "attn.g_norm_swish_gate.weight")
      #expect(norm == [Float](repeating: 1, count: 32))
    }
    try expectEqual(arena, parameters) { name in
      ["model.layers.0.attn", "model.layers.2.attn"].contains { name.hasPrefix($0) }
    }
  }

  @Test func inheritKeepsWeightsAndTilesTheNorm() throws {
    let (configuration, arena) = model { $0.convolutionSize = 4 }
    let plan = ExpansionPlan(layers: .list([1]), size: .heads(2), initialization: .inherit)
    let (_, parameters) = try plan.apply(configuration: configuration, parameters: arena)
    let norm = "model.layers.1.attn.g_norm_swish_gate.weight"
    try expectEqual(arena, parameters) { $0 == norm }
    let before = try values(arena, norm)
    #expect(before.count == 8)
    #expect(try values(parameters, norm) == before + before)
  }

  /// Heads, shared heads, heads after, shared heads after, and which shared head before stands in each
  /// block of the rows after.
  @Test(arguments: [
    (4, 2, 1, 1, [0, 0, 1, 1]), (4, 2, 2, 2, [0, 0, 1, 1]), (8, 2, 4, 2, [0, 0, 1, 1]),
    (4, 1, 2, 1, [0, 0]), (4, 2, 4, 2, [0, 1]), (8, 4, 2, 2, [0, 0, 1, 1, 2, 2, 3, 3]),
  ])
  func inheritRepeatsSharedHeads(
    heads: Int, shared: Int, after: Int, sharedAfter: Int, blocks: [Int]
  ) throws {
    let (configuration, arena) = model {
      $0.headCount = heads
      $0.keyValueHeadCount = shared
      $0.convolutionSize = 2
    }
    let plan = ExpansionPlan(layers: .list([0]), size: .heads(after), initialization: .inherit)
    let (expanded, parameters) = try plan.apply(configuration: configuration, parameters: arena)
    #expect(gla(expanded.layers[0]).keyValueHeadCount == sharedAfter)
    for key in [
      "k_proj.weight", "v_proj.weight", "gk_proj.1.weight", "gk_proj.1.bias", "k_conv1d.weight",
      "v_conv1d.weight",
    ] {
      let name = "model.layers.0.attn." + key
      let before = try values(arena, name)
      let size = before.count / shared
      let expected = blocks.flatMap { before[($0 * size)..<(($0 + 1) * size)] }
      #expect(try values(parameters, name) == expected, "\(key)")
    }
    #expect(
      try values(arena, "model.layers.0.attn.q_proj.weight")
        == values(parameters, "model.layers.0.attn.q_proj.weight"))
  }

  @Test func everyHeadReadsTheKeysItReadBefore() throws {
    // For each query channel, the row of k_proj that meets it is the same before and after.
    let (configuration, arena) = model {
      $0.headCount = 8
      $0.keyValueHeadCount = 2
    }
    for after in [1, 2, 4, 8] {
      let plan = ExpansionPlan(layers: .every(1), size: .heads(after), initialization: .inherit)
      let (expanded, parameters) = try plan.apply(configuration: configuration, parameters: arena)
      func rows(_ layer: LayerConfiguration, _ arena: ParameterArena) throws -> [[Float]] {
        let block = gla(layer)
        let weight = try values(arena, "model.layers.3.attn.k_proj.weight")
        return (0..<block.keyDim).map { channel in
          let head = channel / block.headKeyDim
          let row = head / block.groupSize * block.headKeyDim + channel % block.headKeyDim
          return Array(weight[(row * 32)..<((row + 1) * 32)])
        }
      }
      #expect(
        try rows(configuration.layers[3], arena) == rows(expanded.layers[3], parameters))
    }
  }

  @Test func anExpansionIsRelativeToThePresentLayer() throws {
    let (configuration, arena) = model()
    let first = ExpansionPlan(layers: .list([0]), size: .heads(2), initialization: .inherit)
    let second = ExpansionPlan(layers: .list([0]), size: .heads(1), initialization: .inherit)
    let direct = try second.apply(configuration: configuration, parameters: arena)
    let step = try first.apply(configuration: configuration, parameters: arena)
    let twice = try second.apply(configuration: step.0, parameters: step.1)
    #expect(twice.0 == direct.0)
    #expect(twice.1.buffer.array() == direct.1.buffer.array())
    let error = #expect(throws: ExpansionError.self) {
      try ExpansionPlan(layers: .list([0]), size: .heads(4)).configuration(expanding: step.0)
    }
    #expect(error?.description == "expansion.heads is 4: must divide the 2 heads of layer 0")
  }

  @Test func drawsDependOnSeedAndNameOnly() throws {
    let (configuration, arena) = model()
    func drawn(_ layers: LayerSelection, seed: UInt64) throws -> [Float] {
      let plan = ExpansionPlan(layers: layers, size: .heads(1), seed: seed)
      let result = try plan.apply(configuration: configuration, parameters: arena)
      return try values(result.1, "model.layers.2.attn.q_proj.weight")
    }
    #expect(try drawn(.list([2]), seed: 1) == drawn(.every(1), seed: 1))
    #expect(try drawn(.list([2]), seed: 1) != drawn(.list([2]), seed: 2))
  }

  @Test func unavailablePlansAreRefused() throws {
    let plans: [(ExpansionPlan, String)] = [
      (ExpansionPlan(layers: .every(1), size: .heads(3)), "expansion.heads is 3: must divide"),
      (ExpansionPlan(layers: .every(1), size: .heads(0)), "expansion.heads is 0"),
      (ExpansionPlan(layers: .every(1), size: .heads(-1)), "expansion.heads is -1"),
      (ExpansionPlan(layers: .every(1), size: .heads(8)), "expansion.heads is 8"),
      (ExpansionPlan(layers: .every(1), size: .stateFactor(4)), "expansion.state_factor is 4"),
      (
        ExpansionPlan(layers: .every(1), size: .heads(2), initialization: .preserve),
        "expansion.heads is 2: init: preserve joins all 4 heads of layer 0"
      ),
    ]
    let (configuration, arena) = model()
    for (plan, expected) in plans {
      let error = #expect(throws: ExpansionError.self) {
        try plan.apply(configuration: configuration, parameters: arena)
      }
      #expect(error?.description.hasPrefix(expected) == true, "\(expected)")
      #expect(error?.exitCode == 64)
    }
  }

  @Test func headsThatShareUnevenlyAreNotInherited() throws {
    let (configuration, _) = model {
      $0.headCount = 12
      $0.keyDim = 24
      $0.valueDim = 24
      $0.keyValueHeadCount = 4
    }
    var plan = ExpansionPlan(layers: .list([0]), size: .heads(6), initialization: .inherit)
    #expect(throws: ExpansionError.self) { try plan.configuration(expanding: configuration) }
    plan.initialization = .reinitialize
    let expanded = try plan.configuration(expanding: configuration)
    #expect(gla(expanded.layers[0]).keyValueHeadCount == 3)
  }
}
