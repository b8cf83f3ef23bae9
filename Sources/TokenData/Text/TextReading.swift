import Fields
import JSON

/// How documents are taken from text files.
public struct TextReading: Sendable, Equatable {
  /// What becomes of a document that cannot be read.
  public enum BadInput: String, Sendable, CaseIterable {
    /// It ends the work.
    case refuse
    /// It is left out and counted.
    case skip
    /// Bytes that are not UTF-8 and lone surrogates become U+FFFD; what that does not mend is left out.
    case replace
  }

  /// The member of each JSON object that holds the text.
  public var field = "text"
  /// What becomes of a document that cannot be read.
  public var badInput = BadInput.refuse

  /// The member `text`; bad input is refused.
  public init() {}
}

/// Which ids are put around a document.
public struct DocumentEnds: Sendable, Equatable {
  /// What is put before it.
  public enum Beginning: String, Sendable, CaseIterable {
    /// What the tokenizer's template says.
    case template
    /// The beginning-of-text id.
    case always
    /// Nothing.
    case never
  }

  /// What is put after it.
  public enum End: String, Sendable, CaseIterable {
    /// The end-of-text id, unless it is the last one already.
    case always
    /// Nothing but what the template says.
    case never
  }

  /// What is put before it.
  public var beginning = Beginning.template
  /// What is put after it.
  public var end = End.always

  /// The template's beginning and an end-of-text id.
  public init() {}
}

/// A document that was left out.
public struct SkippedDocument: Sendable, Equatable {
  /// The file.
  public let path: String
  /// Which line, or what else in it.
  public let place: String
  /// What was wrong.
  public let reason: String

  init(_ error: TokenDataError, path: String, place: String) {
    self.path = path
    switch error {
    case .invalid(_, let field, let reason), .file(.invalid(_, let field, let reason)):
      (self.place, self.reason) = (field, reason)
    default: (self.place, reason) = (place, error.description)
    }
  }

  /// One line: where and why.
  public var description: String { "\(path): \(place): \(reason)" }

  /// As a line of the report.
  var line: String {
    [
      JSONMember("path", .string(path)), JSONMember("place", .string(place)),
      JSONMember("reason", .string(reason)),
    ].line
  }
}

// MARK: - As stored in manifests

extension TextReading {
  var members: [JSONMember] {
    [
      JSONMember("field", .string(field)), JSONMember("bad_input", .string(badInput.rawValue)),
    ]
  }

  init(_ reader: FieldReader) throws(FieldError) {
    field = try reader.text("field", orEmpty: true)
    badInput = try reader.choice("bad_input")
  }
}

extension DocumentEnds {
  var members: [JSONMember] {
    [
      JSONMember("bos", .string(beginning.rawValue)), JSONMember("eos", .string(end.rawValue)),
    ]
  }

  init(_ reader: FieldReader) throws(FieldError) {
    beginning = try reader.choice("bos")
    end = try reader.choice("eos")
  }
}
