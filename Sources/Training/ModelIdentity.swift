import Foundation
import JSON
import LanguageModels

/// What a model computes, in a form that can be stored and compared.
///
/// It is the whole `ModelConfiguration`, encoded by the compiler field by field: an option that is
/// added to a configuration is part of it without a line here.
package struct ModelIdentity: Equatable {
  /// The configuration as JSON, keys in snake case.
  package let json: JSONValue

  /// The function of a model with that configuration.
  package init(_ configuration: ModelConfiguration) throws {
    let encoder = JSONEncoder()
    encoder.keyEncodingStrategy = .convertToSnakeCase
    encoder.outputFormatting = .sortedKeys
    encoder.nonConformingFloatEncodingStrategy = .convertToString(
      positiveInfinity: "inf", negativeInfinity: "-inf", nan: "nan")
    let bytes = try [UInt8](encoder.encode(configuration))
    json = try bytes.withUnsafeBytes { try JSONValue(parsing: $0, source: "model configuration") }
  }

  /// The function that a checkpoint recorded.
  package init(stored: JSONValue) {
    json = stored
  }

  /// The first field in which `now` differs, with both values; nil when both are the same function.
  package func difference(to now: ModelIdentity) -> (field: String, was: String, now: String)? {
    Self.difference("model", json, now.json)
  }

  private static func difference(
    _ path: String, _ was: JSONValue?, _ now: JSONValue?
  ) -> (field: String, was: String, now: String)? {
    switch (was, now) {
    case (.object(let old)?, .object(let new)?):
      let added = new.map(\.name).filter { name in !old.contains { $0.name == name } }
      let names = old.map(\.name) + added
      for name in names {
        // The compiler's name for what an enum case holds.
        let inner = name == "_0" ? path : "\(path).\(name)"
        if let found = difference(inner, was?[name], now?[name]) { return found }
      }
      return nil
    case (.array(let old)?, .array(let new)?) where old.count == new.count:
      for (index, pair) in zip(old, new).enumerated() {
        if let found = difference("\(path).\(index)", pair.0, pair.1) { return found }
      }
      return nil
    default:
      return was == now ? nil : (path, text(was), text(now))
    }
  }

  private static func text(_ value: JSONValue?) -> String {
    guard let value else { return "none" }
    if case .array(let elements) = value, !elements.allSatisfy({ $0.array == nil }) {
      return "\(elements.count) of them"
    }
    return value.line
  }
}
