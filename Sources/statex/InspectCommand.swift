import ArgumentParser
import CommandSupport
import Files
import Foundation
import JSON

/// `statex inspect`: what a path is, and what is in it.
struct InspectCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "inspect",
    abstract: "Describe a model, checkpoint, run, safetensors file or token file.",
    discussion: "Reads headers and configurations only, no weights; nothing is verified.")

  @Argument(help: "A directory, a .safetensors file, or the prefix of a Megatron pair.")
  var path: String

  @Flag(help: "Print JSON.")
  var json = false

  func run() throws {
    let description = try PathKind(of: path).describe(path)
    if json {
      printJSON(description.json)
    } else {
      print(description.text)
    }
  }
}

/// The things that `inspect` knows.
enum PathKind: String {
  case model, checkpoint, run, safetensors, tokens

  /// Finds out what is at `path`.
  ///
  /// - Throws: `FileError` when there is nothing, `CommandError.data` when it is unknown.
  init(of path: String) throws {
    func exists(_ suffix: String) throws(FileError) -> Bool {
      try FileSystem.exists(path + suffix)
    }
    if try exists("/config.json") {
      self = .model
    } else if try exists("/manifest.json") {
      self = .checkpoint
    } else if try exists("/checkpoints") {
      self = .run
    } else if try exists(".idx") || path.hasSuffix(".idx") || path.hasSuffix(".bin") && exists("") {
      self = .tokens
    } else if try path.hasSuffix(".safetensors") && exists("") {
      self = .safetensors
    } else if try exists("") {
      throw CommandError.data(
        "\(path): not a model directory (config.json), checkpoint (manifest.json), run"
          + " (checkpoints/), .safetensors file or Megatron prefix (.idx and .bin)")
    } else {
      throw FileError.io(path: path, operation: "open", code: ENOENT)
    }
  }

  /// What `inspect` says about a path of this kind.
  func describe(_ path: String) throws -> PathDescription {
    switch self {
    case .model: try .model(path)
    case .checkpoint: try .checkpoint(path)
    case .run: try .run(path)
    case .safetensors: try .safetensors(path)
    case .tokens: try .tokens([path])
    }
  }
}

/// Facts about a path, as text and as JSON.
struct PathDescription {
  /// The facts in JSON's terms, `kind` first.
  var members: [JSONMember]
  /// A table below the facts; its first row names the columns.
  var table: [[String]] = []

  init(_ kind: PathKind, _ members: [JSONMember]) {
    self.members = [JSONMember("kind", .string(kind.rawValue))] + members
  }

  var json: JSONValue { .object(members) }

  /// A line for each fact that is a single value, then the table.
  var text: String {
    let facts = members.compactMap { member -> [String]? in
      Self.plain(member.value).map { [member.name, $0] }
    }
    let width = facts.map { $0[0].count }.max() ?? 0
    let lines = facts.map { fact in
      fact[0] + String(repeating: " ", count: width - fact[0].count) + "  " + fact[1]
    }
    return (lines + (table.isEmpty ? [] : ["", alignedTable(table)])).joined(separator: "\n")
  }

  private static func plain(_ value: JSONValue) -> String? {
    switch value {
    case .null, .array([]): "-"
    case .bool(let value): value ? "yes" : "no"
    case .number(let text), .string(let text): text
    case .array(let elements) where elements.allSatisfy { plain($0) != nil }:
      elements.compactMap(plain).joined(separator: " ")
    case .array, .object: nil
    }
  }
}
