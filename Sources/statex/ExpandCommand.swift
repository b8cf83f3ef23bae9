import ArgumentParser
import CommandSupport
import HuggingFaceInterop
import LanguageModels
import StateExpansion

extension ExpansionInitialization: ExpressibleByArgument {}

/// `statex expand`: a model with a larger recurrent state, before post-training.
struct ExpandCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "expand", abstract: "Give layers of a model a larger recurrent state.")

  @Option(help: "A Hugging Face model directory.")
  var model: String

  @OptionGroup var export: ExportOptions

  @Option(help: "Expand layers 0, N, 2N, ...")
  var every: Int?

  @Option(help: "Expand these layers, counted from 0, for example 0,6,12.")
  var layers: IntegerList?

  @Option(help: "GLA: heads after merging (default: 1).")
  var heads: Int?

  @Option(help: "Mamba2: how many times larger the state becomes (default: 4).")
  var stateFactor: Int?

  @Option(name: .customLong("init"), help: "How expanded layers are initialised.")
  var initialization = ExpansionInitialization.reinitialize

  @Option(help: "The random seed of new weights.")
  var seed: UInt64 = 0

  func validate() throws {
    guard (every == nil) != (layers == nil) else {
      throw ValidationError("give either --every N or --layers 0,6,12")
    }
  }

  func run() throws {
    try export.requireOther(than: model)
    let configuration = try HuggingFaceModel.loadConfiguration(directory: model).configuration
    let plan = try plan(for: configuration.family)
    print(try ExpansionReport(of: plan, applyingTo: configuration))
    let present = try HuggingFaceModel.load(directory: model)
    warn(present.warnings)
    let (expanded, parameters) = try plan.apply(
      configuration: present.configuration, parameters: present.parameters)
    var card = ExportOptions.card(madeFrom: model)
    card.add("expansion", plan.summary(layerCount: configuration.layers.count))
    try export.write(expanded, parameters, madeFrom: present, at: model, card: card)
  }

  private func plan(for family: ModelFamily) throws -> ExpansionPlan {
    let selection: LayerSelection =
      if let every { .every(every) } else { .list(layers?.values ?? []) }
    let given = ["heads": heads, "state_factor": stateFactor].compactMapValues { $0 }
    let own = try family.expandable.sizeOption
    for (option, families) in ExpansionSizeOption.all
    where option != own && given[option.name] != nil {
      let titles = families.map(\.definition.title).joined(separator: " and ")
      throw CommandError.usage(
        "\(Self.flag(option)) is for \(titles); \(family.definition.title) layers are expanded by"
          + " \(Self.flag(own))")
    }
    return ExpansionPlan(
      layers: selection, size: ExpansionSize(own.name, given[own.name] ?? own.defaultValue),
      initialization: initialization, seed: seed)
  }

  private static func flag(_ option: ExpansionSizeOption) -> String {
    "--" + option.name.replacing("_", with: "-")
  }
}
