import Evaluation
import Fields
import Files
import LanguageModels
import Layers
import StateExpansion

extension Recipe {
  /// Where the model comes from.
  public enum Model: Sendable, Equatable {
    /// `init`: a Hugging Face directory with `config.json` and weights.
    case pretrained(directory: String)
    /// `config`: the fields of a `config.json`, in place; parameters are drawn from `run.seed`.
    case scratch(config: FieldValue, initialization: ScratchInitialization)

    static let keys = ["init", "config", "initialization"]

    static var described: [FieldKey] {
      [
        FieldKey(
          path: "model.init", type: "path", standard: "-", range: "a directory",
          meaning: "Hugging Face directory: `config.json` and weights"),
        FieldKey(
          path: "model.config", type: "mapping", standard: "-",
          range: ModelFamilies.all.map(\.definition.title).joined(separator: " or "),
          meaning: "fields of a `config.json`; weights from `run.seed`"),
        FieldKey(
          path: "model.initialization", type: "mapping", standard: "see below",
          range: "only with `config`", meaning: "how the weights are drawn"),
      ] + ScratchInitialization.described(below: "model.initialization")
    }

    init(_ reader: FieldReader) throws(FieldError) {
      let config = reader.present("config")
      let initialization = try reader.optionalSection(
        "initialization", ScratchInitialization())
      switch (reader.present("init"), config) {
      case (nil, nil):
        throw FieldError(
          place: reader.place(of: "init"), path: reader.path(of: "init"), .missing)
      case (.some, .some):
        throw reader.invalid("config", "give either `init` or `config`, not both")
      case (.some, nil):
        guard initialization == nil else {
          throw reader.invalid(
            "initialization", "only for a model from scratch (`config`); `init` is given")
        }
        self = .pretrained(directory: try reader.text("init"))
      case (nil, .some(let config)):
        _ = try FieldReader(config, path: reader.path(of: "config"), keys: nil)
        self = .scratch(config: config, initialization: initialization ?? ScratchInitialization())
      }
    }

    var value: FieldValue {
      switch self {
      case .pretrained(let directory): .mapping([("init", .text(directory))])
      case .scratch(let config, let initialization):
        .mapping([("config", config), ("initialization", initialization.value)])
      }
    }
  }

  /// The state expansion applied before training.
  public struct Expansion: Sendable, Equatable, FieldSection {
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
    public var layers = Layers.every(6)
    /// How large the state becomes, by the name of the family's option; one that is missing has its
    /// default.
    public var sizes: [String: Int] = [:]
    /// Default `reinitialize`.
    public var initialization = Initialization.reinitialize

    package static var fields: [Field<Expansion>] {
      [selection] + ExpansionSizeOption.all.map(size) + [
        .choice(
          "init", \.initialization, standard: "`reinitialize`", "how expanded layers start")
      ]
    }

    private static func size(
      _ option: ExpansionSizeOption, of families: [ModelFamily]
    ) -> Field<Expansion> {
      .integer(
        option.name, \.[option], .atLeast(1), standard: String(option.defaultValue),
        also: ", " + option.limit,
        families.map(\.definition.title).joined(separator: ", ") + ": " + option.meaning)
    }

    private subscript(option: ExpansionSizeOption) -> Int {
      get { sizes[option.name] ?? option.defaultValue }
      set { sizes[option.name] = newValue }
    }

    private static var selection: Field<Expansion> {
      let description = FieldKey(
        path: "layers", type: "`{every: n}`, `{choose: n, probe: file}` or list",
        standard: "`{every: 6}`", range: "n >= 1; indices of the model", meaning: "layers, from 0")
      return Field(description) { (expansion, reader) throws(FieldError) in
        expansion.layers = try layers(reader)
      } write: {
        switch $0.layers {
        case .every(let stride): .mapping([("every", .integer(stride))])
        case .list(let layers): .list(layers.map(FieldValue.integer))
        }
      }
    }

    private static func layers(_ reader: FieldReader) throws(FieldError) -> Layers {
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
        let inner = try FieldReader(
          value, path: reader.path(of: "layers"), keys: ["every", "choose", "probe"])
        guard inner.value("choose") != nil || inner.value("probe") != nil else {
          return .every(try inner.integer("every", .atLeast(1)))
        }
        return .list(try chosen(inner))
      default:
        throw reader.wrongType(
          "layers", value,
          expected: "{every: n}, {choose: n, probe: file} or a list of layer indices")
      }
    }

    /// The first layers of a probe's order, in ascending order.
    private static func chosen(_ reader: FieldReader) throws(FieldError) -> [Int] {
      guard reader.value("every") == nil else {
        throw reader.invalid("every", "give either `every` or `choose`")
      }
      let count = try reader.integer("choose", .atLeast(1))
      let path = try reader.text("probe")
      let order: [Int]
      do throws(FileError) {
        order = try ProbeReport.order(ofReport: path)
      } catch {
        throw reader.invalid("probe", error.description)
      }
      guard count <= order.count else {
        throw reader.invalid("choose", "the probed model has \(order.count) layers")
      }
      return order.prefix(count).sorted()
    }
  }
}

// MARK: Drawing the weights

/// How linear weights are drawn: normal with deviation `std`, or uniform in +-1/sqrt(fan_in).
private enum LinearDraw: String, CaseIterable {
  case normal
  case fanIn = "fan_in"
}

extension ScratchInitialization: FieldSection {
  package static var fields: [Field<ScratchInitialization>] {
    [
      .number(
        "embedding_std", \.embeddingDeviation, .above(0), standard: "0.02",
        "standard deviation of the embeddings"),
      draw, deviation,
    ]
  }

  private static var draw: Field<ScratchInitialization> {
    let description = FieldKey(
      path: "linear", type: "word", standard: "`normal`",
      range: Field<ScratchInitialization>.words(LinearDraw.self),
      meaning: "draw of linear weights")
    return Field(description) { (initialization, reader) throws(FieldError) in
      let draw = try reader.choice("linear", default: LinearDraw.normal)
      if draw == .fanIn { initialization.linearDeviation = nil }
    } write: {
      .text(($0.linearDeviation == nil ? LinearDraw.fanIn : .normal).rawValue)
    }
  }

  private static var deviation: Field<ScratchInitialization> {
    let description = FieldKey(
      path: "std", type: "number", standard: "0.02", range: "> 0; not with `fan_in`",
      meaning: "standard deviation of `normal`")
    return Field(description) { (initialization, reader) throws(FieldError) in
      guard let standard = initialization.linearDeviation else {
        guard reader.value("std") == nil else {
          throw reader.invalid("std", "only for `linear: normal`; fan_in fixes its own range")
        }
        return
      }
      initialization.linearDeviation = try reader.number("std", default: standard, .above(0))
    } write: {
      $0.linearDeviation.map(FieldValue.number)
    }
  }
}
