/// What an export holds and promises beside a model's weights.
public struct ExportExtras: Sendable {
  /// The directory that the model was made from: its tokenizer and generation files are copied along,
  /// and the Python code that kept fields name.
  public var source: String?
  /// Whose own code must open the export; nil for any model in its family's usual spelling.
  public var format: ExportFormat?
  /// What its `README.md` says; nil for none.
  public var card: ModelCard?

  /// Names the extras.
  public init(source: String? = nil, format: ExportFormat? = nil, card: ModelCard? = nil) {
    self.source = source
    self.format = format
    self.card = card
  }
}
