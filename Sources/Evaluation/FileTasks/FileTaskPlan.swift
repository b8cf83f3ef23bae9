import Fields
import RecallTasks

/// A task in a directory as somebody asks for it: how much of it is measured, and its name in the report.
public struct FileTaskPlan: Sendable, Equatable, FieldSection {
  /// The directory, or its `task.json`; required.
  public var path = ""
  /// The first samples only, at most so many; nil (default) measures all.
  public var samples: Int?
  /// The name in the report; nil (default) is the task's own.
  public var name: String?

  /// No task yet.
  public init() {}

  /// Reads what stands beside a path.
  ///
  /// - Parameters:
  ///   - path: the directory, or its `task.json`.
  ///   - options: a mapping with `samples` and `as`.
  /// - Throws: `RecallTaskError.field`, naming the option.
  public init(path: String, options: FieldValue) throws(RecallTaskError) {
    self = try RecallTaskError.reading { () throws(FieldError) in
      let keys = Self.keys.filter { $0 != Self.pathKey }
      var mapping = try FieldReader(options, keys: keys).entries
      mapping.append(.init(Self.pathKey, .text(path)))
      let value = FieldValue(.mapping(mapping), place: options.place)
      return try FieldReader(value, keys: Self.keys).read(FileTaskPlan())
    }
  }

  private static let pathKey = "file"

  package static var fields: [Field<FileTaskPlan>] {
    [
      .text(
        pathKey, \.path, type: "path", range: "a directory with `task.json`, or that file",
        "a task in files"),
      .integer(
        "samples", \.samples, .atLeast(1), unit: "samples", standard: "all",
        "the first samples only, at most so many"),
      .reportedName(\.name),
    ]
  }

  /// Reads the task's files.
  ///
  /// - Throws: as `FileTask.init`.
  public func open() throws -> FileTask {
    var task = try FileTask(directory: path)
    if let samples, samples < task.samples.count {
      task.samples.removeSubrange(samples...)
      task.isPartial = true
    }
    if let name { task.name = name }
    return task
  }
}

extension Field {
  /// `as`, the name of a measured task in the report.
  package static func reportedName(_ place: WritableKeyPath<Section, String?>) -> Field {
    let key = EvaluationTask.nameKey
    let description = FieldKey(
      path: key, type: "text", standard: "the task's", meaning: "name in the report")
    return Field(description) { (section, reader) throws(FieldError) in
      section[keyPath: place] = try reader.optionalText(key)
    } write: {
      $0[keyPath: place].map(FieldValue.text)
    }
  }
}
