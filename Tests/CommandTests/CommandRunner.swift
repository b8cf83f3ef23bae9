import Checkpointing
import ChildPrograms
import Foundation
import HuggingFaceInterop
import JSON
import LanguageModels
import Layers
import TensorStorage
import Testing
import TokenData

/// A folder in which commands run, and which disappears with its owner.
final class Workplace {
  let path: String

  init() throws {
    path = FileManager.default.temporaryDirectory.path + "/commands " + UUID().uuidString
    try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true)
  }

  deinit { try? FileManager.default.removeItem(atPath: path) }

  /// What a command did.
  struct Outcome {
    let code: Int32
    let output: String
    let errors: String

    /// The text after `error: ` when stderr is exactly one such line, else nil.
    var errorLine: String? {
      let lines = errors.split(separator: "\n", omittingEmptySubsequences: false)
      guard lines.count == 2, lines[1].isEmpty, lines[0].hasPrefix("error: ") else { return nil }
      return String(lines[0].dropFirst("error: ".count))
    }
  }

  /// Runs the built `statex` in this folder.
  ///
  @discardableResult
  func statex(_ arguments: String..., output: FileHandle? = nil) throws -> Outcome {
    try statex(arguments, output: output)
  }

  /// The same with the arguments in a list; stdout goes to `output`, or is collected.
  func statex(_ arguments: [String], output: FileHandle? = nil) throws -> Outcome {
    let process = Process()
    process.executableURL = try Self.command()
    process.arguments = arguments
    process.currentDirectoryURL = URL(fileURLWithPath: path)
    let (out, errors) = (Pipe(), Pipe())
    process.standardOutput = output ?? out
    process.standardError = errors
    try process.run()
    // Less than a pipe holds goes to stderr, so one can be read after the other.
    let text = output == nil ? out.fileHandleForReading.readDataToEndOfFile() : Data()
    let complaint = errors.fileHandleForReading.readDataToEndOfFile()
    process.waitUntilExit()
    return Outcome(
      code: process.terminationStatus, output: String(decoding: text, as: UTF8.self),
      errors: String(decoding: complaint, as: UTF8.self))
  }

  /// Runs `statex` under mpirun, with an end in sight.
  func statex(ranks: Int, _ arguments: [String]) throws -> Outcome {
    let launch = ["mpirun", "--oversubscribe", "--wdir", path, "-n", String(ranks)]
    let result = try ChildProcess(
      launch + [Self.command().path] + arguments,
      directory: FileManager.default.temporaryDirectory.path
    ).wait()
    return Outcome(code: result.code, output: result.stdout, errors: result.stderr)
  }

  /// The command stands beside the test program, which was built with it.
  private static func command() throws -> URL {
    let program = try FileManager.default.destinationOfSymbolicLink(atPath: "/proc/self/exe")
    let command = URL(fileURLWithPath: program).deletingLastPathComponent()
      .appendingPathComponent("statex")
    try #require(
      FileManager.default.isExecutableFile(atPath: command.path), "build the product statex first")
    return command
  }
}

// MARK: Things that commands work on

extension Workplace {
  /// A small random model that reads bytes, exported as a Hugging Face directory.
  @discardableResult
  func model(
    _ name: String = "model", vocabulary: Int = 264, heads: Int = 4,
    dtype: ElementTypes = .float32, change: (ParameterArena) -> Void = { _ in }
  ) throws -> String {
    let layer = GLAConfiguration(
      hiddenSize: 32, headCount: heads, keyDim: 16, valueDim: 32, intermediateSize: 48)
    let configuration = ModelConfiguration(
      family: .gla, hiddenSize: 32, vocabularySize: vocabulary, normEpsilon: 1e-6,
      tiesEmbeddings: false, layers: [.gla(layer), .gla(layer), .gla(layer)])
    let parameters = ParameterArena(
      scratch: configuration,
      initialization: ScratchInitialization(embeddingDeviation: 0.7, linearDeviation: nil), seed: 3)
    change(parameters)
    try HuggingFaceModel.export(
      configuration: configuration, parameters: parameters, to: file(name), dtype: dtype)
    return name
  }

  /// A run directory with checkpoints of two shards after steps 2 and 4.
  func run(_ name: String = "run") throws -> String {
    var layout = ParameterLayout()
    layout.append(name: "weight", shape: [30, 20])
    try FileManager.default.createDirectory(
      atPath: file(name), withIntermediateDirectories: true)
    let writer = try CheckpointWriter(run: file(name), runID: "r1", retention: Retention(newest: 5))
    for step in [2, 4] {
      let values = FloatBuffer(count: layout.count)
      for i in 0..<600 { values.pointer[i] = Float(i * step) }
      _ = try writer.save(
        CheckpointContents(
          step: step, layout: layout, stores: [CheckpointStore("parameters", values)],
          training: .object([JSONMember("seed", .integer(7))]),
          creation: CheckpointCreation(host: "here", ranks: 2)),
        coordination: SingleProcess(shards: 2))
    }
    return name
  }

  /// A token file of one document of ASCII characters, to be read as text.
  func tokenFile(_ name: String, count: Int) throws {
    let writer = try MegatronWriter(prefix: file(name), vocabularySize: 264)
    try writer.append((0..<count).map { Int32($0 * $0 % 97 + 1) })
    try writer.finish()
  }

  /// A log of the scores of a task, half of the samples at either length; a score that is nil is `null`.
  func sampleLog(_ name: String, _ scores: [Double?], seed: Int = 0) throws {
    var lines = ["{\"statex_samples\": 1, \"model\": \"\(name)\", \"seed\": \(seed)}"]
    for (index, score) in scores.enumerated() {
      let (length, id) = (index % 2 == 0 ? 64 : 128, index / 2)
      let depth = index < scores.count / 2 ? 0.05 : 0.95
      lines.append(
        "{\"measure\": \"passkey\", \"length\": \(length), \"id\": \(id), "
          + "\"scores\": {\"contains\": \(score.map { "\($0)" } ?? "null")}, \"depth\": \(depth)}")
    }
    try write(lines.joined(separator: "\n") + "\n", name)
  }

  /// The path of a file of this folder.
  func file(_ name: String) -> String { path + "/" + name }

  func write(_ text: String, _ name: String) throws {
    try Data(text.utf8).write(to: URL(fileURLWithPath: file(name)))
  }

  func bytes(_ name: String) throws -> [UInt8] {
    try [UInt8](Data(contentsOf: URL(fileURLWithPath: file(name))))
  }

  func json(_ name: String) throws -> JSONValue {
    try bytes(name).withUnsafeBytes { try JSONValue(parsing: $0, source: name) }
  }

  /// Cuts the last `count` bytes off a file.
  func cut(_ name: String, by count: Int) throws {
    let all = try bytes(name)
    try Data(all.dropLast(count)).write(to: URL(fileURLWithPath: file(name)))
  }
}

/// JSON that a command printed.
func parse(_ text: String) throws -> JSONValue {
  try Array(text.utf8).withUnsafeBytes { try JSONValue(parsing: $0, source: "output") }
}
