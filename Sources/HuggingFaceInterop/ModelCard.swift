import Files
import LanguageModels
import ProgramVersion

/// What a person should know of a model that is exported: where it comes from, what was done to it and
/// what was measured.
///
/// It becomes the export's `README.md`, and is read back from there: a model made from that export
/// inherits its facts.
public struct ModelCard: Sendable, Equatable {
  /// One line of the card's table.
  public struct Fact: Sendable, Equatable {
    /// For example `expansion`.
    public let name: String
    /// On one line, for example `layers 0, 6: heads 1, init preserve, seed 0`.
    public let value: String

    /// States a fact.
    public init(_ name: String, _ value: String) {
      self.name = name
      self.value = value
    }
  }

  /// First to last, in the order in which things were done.
  public private(set) var facts: [Fact]
  /// The resolved recipe of the training that the model comes from, in YAML.
  public var recipe: String?

  /// A card that says these facts.
  public init(_ facts: [Fact] = [], recipe: String? = nil) {
    self.facts = []
    self.recipe = recipe
    for fact in facts { add(fact.name, fact.value) }
  }

  /// Adds a fact; a name that is there already gets a number: the second training is `training 2`.
  public mutating func add(_ name: String, _ value: String) {
    var numbered = name
    var number = 1
    while facts.contains(where: { $0.name == numbered }) {
      number += 1
      numbered = "\(name) \(number)"
    }
    facts.append(Fact(numbered, value))
  }
}

// MARK: - Reading

extension ModelCard {
  /// The card in a model directory, changed by hand or not; nil when there is none of statex's.
  ///
  /// What a model is, such as its parameters, is left out: it is computed anew.
  public init?(directory: String) {
    for name in [ModelFileNames.secondCard, ModelFileNames.card] {
      guard let file = try? MappedFile(path: directory + "/" + name) else { continue }
      let text = withExtendedLifetime(file) { String(decoding: file.bytes, as: UTF8.self) }
      guard CardText(text) != nil else { continue }
      self.init(CardText.facts(in: text), recipe: CardText.recipe(in: text))
      return
    }
    return nil
  }

  /// Whether a text is a card as it was written: nobody has added a word to it.
  static func isUntouched(_ text: String) -> Bool { CardText(text)?.isUntouched ?? false }
}

// MARK: - Writing

extension ModelCard {
  /// The text of `README.md`: a function of the card and the model, the same every time.
  func text(of configuration: ModelConfiguration, types: ElementTypes, summary: ExportSummary)
    -> String
  {
    let family = configuration.family
    let expanded = summary.expandedLayers.isEmpty ? "" : " with expanded layers"
    var text = """
      ---
      tags:
      - \(family.name)
      - statex
      ---

      # \(family.definition.fullName)\(expanded)

      | | |
      |---|---|

      """
    for fact in Self.modelFacts(configuration, types, summary) + facts {
      text += "| \(fact.name) | \(Self.cell(fact.value)) |\n"
    }
    text += "\n## How to open it\n\n\(Self.opening(family, summary))"
    if let recipe {
      text += "\n## Recipe\n\n```yaml\n\(recipe.hasSuffix("\n") ? recipe : recipe + "\n")```\n"
    }
    return CardText.signed(text)
  }

  /// What the model is, whatever was done to it.
  private static func modelFacts(
    _ configuration: ModelConfiguration, _ types: ElementTypes, _ summary: ExportSummary
  ) -> [Fact] {
    let layers = configuration.layers
    var facts = [
      Fact(
        CardText.modelName,
        "\(summary.modelType ?? configuration.family.name), \(layers.count) layers,"
          + " \(configuration.layout().parameterCount) parameters, \(types.description)"),
      Fact(CardText.stateName, "\(configuration.recurrentStateCount) numbers a sequence"),
    ]
    if !summary.expandedLayers.isEmpty {
      let list = summary.expandedLayers.map(String.init).joined(separator: ", ")
      facts.append(Fact(CardText.expandedName, list))
    }
    return facts + [Fact(CardText.softwareName, "statex \(programVersion)")]
  }

  /// A value inside a table: on one line, with bars escaped.
  private static func cell(_ value: String) -> String {
    value.split(whereSeparator: \.isNewline).joined(separator: " ")
      .split(separator: "|", omittingEmptySubsequences: false).joined(separator: "\\|")
  }

  private static func opening(_ family: ModelFamily, _ summary: ExportSummary) -> String {
    let generate = "```\nstatex generate --model DIR --prompt \"...\"\n```\n"
    guard let type = summary.modelType else {
      return "mamba_ssm reads it, and so does statex:\n\n" + generate
    }
    let needs = family.huggingFace?.pythonPackage.map { "import \($0)\n" } ?? ""
    let (imports, arguments) =
      summary.expandedLayers.isEmpty ? (needs, "") : ("", ", trust_remote_code=True")
    let python = """
      ```python
      \(imports)from transformers import AutoModelForCausalLM
      model = AutoModelForCausalLM.from_pretrained("DIR"\(arguments))
      ```

      """
    let note =
      summary.expandedLayers.isEmpty
      ? ""
      : "Its layers differ, so it is a `\(type)`, which the libraries do not know by themselves.\n\n"
    return note + python + "\nor\n\n" + generate
  }
}
