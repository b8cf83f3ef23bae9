import HuggingFaceInterop
import JSON
import LanguageModels
import Layers
import Testing

/// A GLA model whose layers have these heads, 2 in the base.
private func gla(
  _ heads: [Int], change: (inout GLAConfiguration) -> Void = { _ in }
) -> ModelConfiguration {
  let base = GLAConfiguration(
    hiddenSize: 8, headCount: 2, keyDim: 4, valueDim: 8, intermediateSize: 12)
  let layers = heads.map { heads in
    var layer = base.dividedIntoHeads(heads)
    change(&layer)
    return LayerConfiguration.gla(layer)
  }
  return ModelConfiguration(
    family: .gla, hiddenSize: 8, vocabularySize: 10, normEpsilon: base.normEpsilon,
    tiesEmbeddings: false, layers: layers, base: .gla(base))
}

/// A Mamba2 model whose layers have these state sizes, 4 in the base.
private func mamba2(_ states: [Int]) -> ModelConfiguration {
  let layers = (states + [4]).map { state in
    LayerConfiguration.mamba2(
      Mamba2Configuration(hiddenSize: 8, headCount: 2, headDim: 8, stateSize: state))
  }
  return ModelConfiguration(
    family: .mamba2, hiddenSize: 8, vocabularySize: 10, normEpsilon: 1e-5, tiesEmbeddings: true,
    layers: layers.dropLast(), base: layers.last)
}

/// What other programs take an export for: `model_type`, `architectures`, and a GLA's kernel.
@Suite("What an export says it is") struct ExpandedIdentityTests {
  @Test("layers that differ make a model of another type")
  func layersThatDiffer() throws {
    let mixing = gla([2, 2]) { $0.hasHeadMixing = true }
    for (configuration, type, architecture) in [
      (gla([1, 2]), "statex_gla", "StatexGLAForCausalLM"),
      (mixing, "statex_gla", "StatexGLAForCausalLM"),
      (mamba2([4, 8]), "statex_mamba2", "StatexMamba2ForCausalLM"),
    ] {
      let json = try HuggingFaceModel.configJSON(of: configuration)
      #expect(json["model_type"] == .string(type))
      #expect(json["architectures"] == .array([.string(architecture)]))
      #expect((json["attn_mode"] == .string("statex")) == (type == "statex_gla"))
      #expect(try ModelConfiguration(configJSON: json) == configuration)
    }
  }

  @Test("equal layers, expanded or not, are the family's own")
  func equalLayers() throws {
    for (configuration, type, architecture, size) in [
      (gla([2, 2]), "gla", "GLAForCausalLM", JSONMember("num_heads", .integer(2))),
      (gla([1, 1]), "gla", "GLAForCausalLM", JSONMember("num_heads", .integer(1))),
      (mamba2([12, 12]), "mamba2", "Mamba2ForCausalLM", JSONMember("state_size", .integer(12))),
    ] {
      let expandedBefore = try HuggingFaceModel.configJSON(of: gla([1, 2]))
      for raw in configuration.family == .gla ? [nil, expandedBefore] : [nil] {
        let json = try HuggingFaceModel.configJSON(of: configuration, rawConfig: raw)
        #expect(json["model_type"] == .string(type))
        #expect(json["architectures"] == .array([.string(architecture)]))
        #expect(json[size.name] == size.value && json["statex"] == nil)
        #expect(json["attn_mode"] == nil)
        let again = try ModelConfiguration(configJSON: json)
        #expect(again.layers == configuration.layers && again.expandedLayers.isEmpty)
      }
    }
  }

  @Test("equal layers that share keys say how many heads share them")
  func equalSharedLayers() throws {
    let json = try HuggingFaceModel.configJSON(of: gla([2, 2]) { $0.keyValueHeadCount = 1 })
    #expect(json["num_kv_heads"] == .integer(1) && json["statex"] == nil)
  }

  @Test("the plain type with the key is read, the other type without it refused")
  func typesAndKey() throws {
    let configuration = gla([1, 2])
    guard case .object(var fields) = try HuggingFaceModel.configJSON(of: configuration) else {
      return #expect(Bool(false))
    }
    fields["model_type"] = .string("gla")
    #expect(try ModelConfiguration(configJSON: .object(fields)) == configuration)
    fields["model_type"] = .string("statex_gla")
    fields["statex"] = nil
    let error = #expect(throws: InteropError.self) {
      try ModelConfiguration(configJSON: .object(fields))
    }
    #expect(error?.exitCode == 65)
    #expect(error?.description.contains("`statex`: model_type") == true)
  }
}

extension [JSONMember] {
  fileprivate subscript(name: String) -> JSONValue? {
    get { first { $0.name == name }?.value }
    set {
      removeAll { $0.name == name }
      if let newValue { append(JSONMember(name, newValue)) }
    }
  }
}
