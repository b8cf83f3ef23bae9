/// A text that may quote anything, made fit to be a message: one line of what can be shown.
///
/// Line breaks and the blanks around them become a space; control characters, and those that change the
/// direction of writing, become `\u{...}`; of more than `limit` bytes the middle is left out.
///
/// - Parameters:
///   - text: the text.
///   - limit: bytes of the result, approximately.
/// - Returns: the line.
public func singleLine(_ text: String, limit: Int = 2000) -> String {
  var lines = text.split(whereSeparator: \.isNewline)[...]
  if lines.count > 1 { lines = lines.map { $0.trimmingBlanks() }[...] }
  let line = lines.joined(separator: " ")
  var shown = ""
  for scalar in line.unicodeScalars {
    switch scalar.properties.generalCategory {
    case .control, .format, .lineSeparator, .paragraphSeparator:
      shown += "\\u{\(String(scalar.value, radix: 16))}"
    default: shown.unicodeScalars.append(scalar)
    }
  }
  guard shown.utf8.count > limit else { return shown }
  let (head, tail) = (limit * 3 / 4, limit / 4)
  let characters = Array(shown.utf8)
  return String(decoding: characters.prefix(head), as: UTF8.self) + " ... "
    + String(decoding: characters.suffix(tail), as: UTF8.self)
}

extension Substring {
  fileprivate func trimmingBlanks() -> Substring {
    var text = drop { $0.isWhitespace }
    while text.last?.isWhitespace == true { text.removeLast() }
    return text
  }
}
