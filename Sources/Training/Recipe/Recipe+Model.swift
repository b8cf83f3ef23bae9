import Layers

extension Recipe {
  /// Where the model comes from.
  public enum Model: Sendable, Equatable {
    /// `init`: a Hugging Face directory with `config.json` and safetensors.
    case pretrained(directory: String)
    /// `config`: the fields of a `config.json`, in place; parameters are drawn from `run.seed`.
    case scratch(config: RecipeValue, initialization: ScratchInitialization)

    static let keys = ["init", "config", "initialization"]

    init(_ reader: RecipeReader) throws(RecipeError) {
      let config = reader.present("config")
      let initialization = try reader.optionalSection(
        "initialization", keys: ["embedding_std", "linear", "std"], Self.initialization)
      switch (reader.present("init"), config) {
      case (nil, nil):
        throw .missingKey(place: reader.place(of: "init"), path: "\(reader.path).init")
      case (.some, .some):
        throw reader.invalid("config", "give either `init` or `config`, not both")
      case (.some, nil):
        guard initialization == nil else {
          throw reader.invalid(
            "initialization", "only for a model from scratch (`config`); `init` is given")
        }
        self = .pretrained(directory: try reader.text("init"))
      case (nil, .some(let config)):
        _ = try RecipeReader(config, path: reader.path(of: "config"), keys: nil)
        self = .scratch(config: config, initialization: initialization ?? ScratchInitialization())
      }
    }

    var value: RecipeValue {
      switch self {
      case .pretrained(let directory): .mapping([("init", .text(directory))])
      case .scratch(let config, let initialization):
        .mapping([("config", config), ("initialization", Self.value(of: initialization))])
      }
    }

    /// How linear weights are drawn: normal with deviation `std`, or uniform in +-1/sqrt(fan_in).
    private enum Linear: String, CaseIterable {
      case normal
      case fanIn = "fan_in"
    }

    /// `initialization`: `embedding_std` (default 0.02), `linear` (default normal), `std` of the
    /// normal draw (default 0.02).
    private static func initialization(
      _ reader: RecipeReader
    ) throws(RecipeError) -> ScratchInitialization {
      let embedding = try reader.number("embedding_std", default: 0.02, .above(0))
      switch try reader.choice("linear", default: Linear.normal) {
      case .normal:
        return ScratchInitialization(
          embeddingDeviation: embedding,
          linearDeviation: try reader.number("std", default: 0.02, .above(0)))
      case .fanIn:
        guard reader.value("std") == nil else {
          throw reader.invalid("std", "only for `linear: normal`; fan_in fixes its own range")
        }
        return ScratchInitialization(embeddingDeviation: embedding, linearDeviation: nil)
      }
    }

    private static func value(of initialization: ScratchInitialization) -> RecipeValue {
      let deviation = initialization.linearDeviation
      let linear = deviation == nil ? Linear.fanIn : Linear.normal
      return .mapping([
        ("embedding_std", .number(initialization.embeddingDeviation)),
        ("linear", .text(linear.rawValue)), ("std", deviation.map(RecipeValue.number)),
      ])
    }
  }

  /// The state expansion applied before training.
  public struct Expansion: Sendable, Equatable {
    /// Which layers are expanded.
    public enum Layers: Sendable, Equatable {
      /// Layers 0, n, 2n, ...
      case every(Int)
      /// Exactly these layers, counted from 0.
      case list([Int])
    }

    /// How the parameters of expanded layers are made.
    public enum Initialization: String, Sendable, Equatable, CaseIterable {
      case reinitialize, paper, inherit, preserve
    }

    /// Default: every 6th layer from the first.
    public var layers: Layers
    /// GLA: heads after merging; default 1.
    public var heads: Int
    /// Mamba2: factor on the state size; default 4.
    public var stateFactor: Int
    /// Default `reinitialize`.
    public var initialization: Initialization

    static let keys = ["layers", "heads", "state_factor", "init"]

    init(_ reader: RecipeReader) throws(RecipeError) {
      layers = try Self.layers(reader)
      heads = try reader.integer("heads", default: 1, .atLeast(1))
      stateFactor = try reader.integer("state_factor", default: 4, .atLeast(1))
      initialization = try reader.choice("init", default: .reinitialize)
    }

    private static func layers(_ reader: RecipeReader) throws(RecipeError) -> Layers {
      guard let value = reader.value("layers") else { return .every(6) }
      switch value.kind {
      case .list(let elements):
        var layers: [Int] = []
        for element in elements {
          guard case .integer(let layer) = element.kind, layer >= 0, !layers.contains(layer) else {
            throw reader.invalid(
              "layers", "expected different layer indices from 0, found \(element.summary)")
          }
          layers.append(layer)
        }
        guard !layers.isEmpty else {
          throw reader.invalid("layers", "no layer is listed; leave `expansion` out for none")
        }
        return .list(layers)
      case .mapping:
        let inner = try RecipeReader(value, path: reader.path(of: "layers"), keys: ["every"])
        return .every(try inner.integer("every", .atLeast(1)))
      default:
        throw .wrongType(
          place: value.place, path: reader.path(of: "layers"),
          expected: "{every: n} or a list of layer indices", found: value.summary)
      }
    }

    var value: RecipeValue {
      let layersValue: RecipeValue =
        switch layers {
        case .every(let stride): .mapping([("every", .integer(stride))])
        case .list(let layers): .list(layers.map(RecipeValue.integer))
        }
      return .mapping([
        ("layers", layersValue), ("heads", .integer(heads)),
        ("state_factor", .integer(stateFactor)), ("init", .text(initialization.rawValue)),
      ])
    }
  }
}
