import Files
import JSON

/// The files beside a model that an export takes along.
enum Companions {
  /// Tokenizer and generation files of a directory, and the code that its tokenizer needs.
  static func names(in directory: String) throws(InteropError) -> [String] {
    var names: [String] = []
    for name in ModelFileNames.companions where try exists(directory + "/" + name) {
      names.append(name)
    }
    guard names.contains(ModelFileNames.tokenizerConfig) else { return names }
    let path = directory + "/" + ModelFileNames.tokenizerConfig
    let tokenizer = try InteropError.from(try JSONValue(contentsOf: path, allowsNonFinite: true))
    return names + (try code(tokenizer["auto_map"], in: directory) ?? [])
  }

  /// The Python files that an `auto_map` names, and those that they import from beside them.
  ///
  /// - Parameters:
  ///   - autoMap: `{"AutoConfig": "module.Class", ...}`; `owner/name--module.Class` is in another
  ///     repository, where it stays.
  ///   - directory: where the files are.
  /// - Returns: names of files, none for nil; nil when one of them is not there.
  /// - Throws: `.file` when a file cannot be read.
  static func code(
    _ autoMap: JSONValue?, in directory: String
  ) throws(InteropError) -> [String]? {
    guard case .object(let members)? = autoMap else { return [] }
    var open = members.flatMap { $0.value.array ?? [$0.value] }.compactMap(module)
    var files: [String] = []
    while let module = open.popLast() {
      let file = module + ".py"
      guard !files.contains(file) else { continue }
      guard !module.contains("/"), try exists(directory + "/" + file) else { return nil }
      files.append(file)
      open += try imports(of: directory + "/" + file)
    }
    return files.sorted()
  }

  /// The module of `module.Class` in this directory.
  private static func module(_ reference: JSONValue) -> String? {
    guard let text = reference.string, !text.contains("--") else { return nil }
    return text.split(separator: ".").first.map(String.init)
  }

  /// Modules beside a Python file that it imports, as transformers finds them: `from .module import`.
  private static func imports(of path: String) throws(InteropError) -> [String] {
    let bytes = try InteropError.from(try InputFile.contents(of: path))
    return String(decoding: bytes, as: UTF8.self).split(whereSeparator: \.isNewline)
      .compactMap { line in
        let words = line.split(separator: " ")
        guard words.count > 2, words[0] == "from", words[1].hasPrefix("."), words[2] == "import"
        else { return nil }
        let module = words[1].dropFirst()
        return module.isEmpty || module.contains(".") ? nil : String(module)
      }
  }

  /// Whether a file is there, be it a link that leads nowhere: copying it then says so.
  private static func exists(_ path: String) throws(InteropError) -> Bool {
    try InteropError.from(try FileSystem.exists(path, followingLinks: false))
  }
}
