import Foundation

/// The text of a model card: its table, its recipe, and the signature by which an untouched one is
/// known.
struct CardText {
  /// Names of facts that follow from the model and from the program that writes it.
  static let modelName = "model"
  static let stateName = "recurrent state"
  static let expandedName = "expanded layers"
  static let softwareName = "software"

  private static let signature =
    "<!-- Written by statex. While this text is as it was, the next export"
    + " replaces it: "

  /// Whether no word was changed since the card was written.
  let isUntouched: Bool

  /// Recognizes a card; nil for any other text.
  init?(_ text: String) {
    guard let start = text.range(of: Self.signature)?.lowerBound else { return nil }
    isUntouched = Self.signed(String(text[..<start])) == text
  }

  /// A card's text with its signature.
  static func signed(_ text: String) -> String {
    text + signature + fingerprint(text) + " -->\n"
  }

  /// FNV-1a of the text's bytes: it tells edits from none, and is no protection against forgery.
  private static func fingerprint(_ text: String) -> String {
    var hash: UInt64 = 0xcbf2_9ce4_8422_2325
    for byte in text.utf8 { hash = (hash ^ UInt64(byte)) &* 0x100_0000_01b3 }
    let digits = String(hash, radix: 16)
    return String(repeating: "0", count: 16 - digits.count) + digits
  }

  /// The facts of the first table, without those that are written anew.
  static func facts(in text: String) -> [ModelCard.Fact] {
    let computed: Set = [modelName, stateName, expandedName, softwareName]
    return text.split(whereSeparator: \.isNewline)
      .drop { $0 != "|---|---|" }.dropFirst().prefix { $0.hasPrefix("| ") }
      .compactMap { line -> ModelCard.Fact? in
        let cells = line.dropFirst(2).split(separator: " | ", maxSplits: 1)
        guard cells.count == 2, cells[1].hasSuffix(" |"), !computed.contains(String(cells[0]))
        else { return nil }
        let value = cells[1].dropLast(2).split(separator: "\\|", omittingEmptySubsequences: false)
        return ModelCard.Fact(String(cells[0]), value.joined(separator: "|"))
      }
  }

  /// The recipe's YAML, if the card has one.
  static func recipe(in text: String) -> String? {
    guard let start = text.range(of: "\n## Recipe\n\n```yaml\n")?.upperBound,
      let end = text[start...].range(of: "\n```\n")?.lowerBound
    else { return nil }
    return text[start...end].isEmpty ? nil : String(text[start...end])
  }
}
