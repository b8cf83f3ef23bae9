import Compression
import Files

/// A file of documents, or the standard input.
public struct TextInput: Sendable, Equatable {
  /// What a file's contents are.
  public enum Format: String, Sendable, CaseIterable {
    /// One JSON object a line, one member of which is a document.
    case jsonl
    /// An array of such objects, or objects one after the other.
    case json
    /// One document.
    case txt
  }

  /// The name of the standard input.
  public static let standardInput = "-"

  /// Where it is; `-` is the standard input.
  public let path: String

  /// What its contents are.
  public let format: Format

  /// How its name says that it is compressed; nil for the standard input, whose first bytes tell.
  let compression: CompressionFormat?

  /// Whether it is the standard input, which cannot be read twice.
  public var isStandardInput: Bool { path == Self.standardInput }

  /// A file by its name's ending: `.txt`, `.jsonl`, `.ndjson` or `.json`, perhaps with `.zst` or `.gz`.
  ///
  /// - Parameters:
  ///   - path: the file, or `-`.
  ///   - format: its format whatever the name says; nil to go by the name, and for `-` `jsonl`.
  /// - Throws: `.invalid` for a name that says nothing.
  public init(path: String, format: Format? = nil) throws(TokenDataError) {
    self.path = path
    guard path != Self.standardInput else {
      (self.format, compression) = (format ?? .jsonl, nil)
      return
    }
    var name = FileSystem.name(of: path).lowercased()[...]
    var compression = CompressionFormat.none
    for (ending, kind) in [(".zst", CompressionFormat.zstd), (".gz", .gzip)]
    where name.hasSuffix(ending) {
      (name, compression) = (name.dropLast(ending.count), kind)
    }
    self.compression = compression
    guard let format = format ?? Self.format(of: name) else {
      throw .invalid(path: path, field: "file name", reason: Self.advice(name))
    }
    self.format = format
  }

  private static func format(of name: Substring) -> Format? {
    if name.hasSuffix(".ndjson") { return .jsonl }
    return Format.allCases.first { name.hasSuffix("." + $0.rawValue) }
  }

  private static func advice(_ name: Substring) -> String {
    name.hasSuffix(".parquet")
      ? "Parquet is read through a pipe: python3 -m statex.parquet FILES | statex data tokenize - ..."
      : "must end in .txt, .jsonl, .ndjson or .json, perhaps with .zst or .gz (or give --format)"
  }

  // MARK: Arguments

  /// The files that arguments stand for, in their order.
  ///
  /// - Parameters:
  ///   - arguments: files; patterns with `*`, `?` or `[...]`, whose matches are taken in the order of their
  ///     names; directories, of which all files with known endings are taken, subdirectories included; `-`.
  ///   - format: of every file; nil to go by the names.
  /// - Returns: the files, none of them twice.
  /// - Throws: `.file`; `.invalid` for an argument that stands for nothing, a file named twice, or a name
  ///   that does not tell its format.
  public static func resolve(
    _ arguments: [String], format: Format? = nil
  ) throws(TokenDataError) -> [TextInput] {
    var inputs: [TextInput] = []
    for argument in arguments {
      let found = try paths(argument, format)
      guard !found.isEmpty else {
        throw .invalid(path: argument, field: "input", reason: "no file of documents is there")
      }
      for path in found { inputs.append(try TextInput(path: path, format: format)) }
    }
    var seen: Set<String> = []
    for input in inputs {
      let path = try TokenDataError.from(
        try input.isStandardInput ? input.path : FileSystem.canonical(input.path))
      guard seen.insert(path).inserted else {
        throw .invalid(
          path: input.path, field: "input",
          reason: "is named twice: to use documents more often, give their source more weight")
      }
    }
    return inputs
  }

  private static func paths(_ argument: String, _ format: Format?) throws(TokenDataError)
    -> [String]
  {
    if argument == standardInput { return [argument] }
    return try TokenDataError.from { () throws(FileError) in
      switch try FileSystem.kind(of: argument) {
      case .directory: return try files(in: argument, format)
      case nil where argument.contains(where: { "*?[".contains($0) }):
        var paths: [String] = []
        for path in try FileSystem.matching(argument) where !isOurs(path) {
          let isDirectory = try FileSystem.kind(of: path) == .directory
          paths += isDirectory ? try files(in: path, format) : [path]
        }
        return paths
      default: return [argument]
      }
    }
  }

  /// Whether a file is what tokenizing itself wrote beside a data set.
  private static func isOurs(_ path: String) -> Bool {
    path.hasSuffix(TokenManifest.path(prefix: ""))
      || path.hasSuffix(UnfinishedTokens.skippedPath(""))
  }

  private static func files(in directory: String, _ format: Format?) throws(FileError) -> [String] {
    var paths: [String] = []
    for name in try FileSystem.list(directory) where !name.hasPrefix(".") {
      let path = directory.hasSuffix("/") ? directory + name : directory + "/" + name
      switch try FileSystem.kind(of: path) {
      case .directory where !path.hasSuffix(UnfinishedTokens.directory("")):
        paths += try files(in: path, format)
      case .file where !isOurs(path):
        if format != nil || (try? TextInput(path: path)) != nil { paths.append(path) }
      default: break
      }
    }
    return paths
  }

  // MARK: Reading

  /// Size and time of the last change; nil for the standard input and pipes, which have neither.
  ///
  /// - Throws: `.file` when there is no such file.
  func stamp() throws(TokenDataError) -> FileSystem.Stamp? {
    guard !isStandardInput else { return nil }
    return try TokenDataError.from { () throws(FileError) in
      if try FileSystem.kind(of: path) == .special { return nil }
      guard let stamp = try FileSystem.stamp(path) else {
        throw .io(path: path, operation: "open", code: 2)
      }
      return stamp
    }
  }

  /// The stored bytes, hashed as they are read.
  func open() throws(TokenDataError) -> HashedSource {
    HashedSource(
      try TokenDataError.from(
        try isStandardInput ? InputFile.standardInput() : InputFile(path: path)))
  }

  /// The error of a compressed file.
  func error(_ error: CompressionError) -> TokenDataError {
    if case .file(let error) = error { return .file(error) }
    return .invalid(path: path, field: "compression", reason: error.description)
  }
}

/// Stored bytes that are hashed as they are read.
final class HashedSource: ByteSource {
  private let file: InputFile
  private var hash = XXH64()
  /// Bytes read so far.
  private(set) var byteCount = 0

  init(_ file: InputFile) { self.file = file }

  /// The hash of what was read.
  var digest: String { XXH64.hexadecimal(hash.digest()) }

  func read(into output: UnsafeMutableRawBufferPointer) throws(FileError) -> Int {
    let count = try file.read(into: output)
    hash.update(UnsafeRawBufferPointer(rebasing: output[..<count]))
    byteCount += count
    return count
  }
}
