import Files
import Foundation
import JSON
import TensorFiles

/// A tensor as a weight file describes it.
struct StoredTensor {
  /// The name in the file.
  let name: String
  let dataType: TensorDataType
  let shape: [Int]
  let file: MappedFile
  /// Where its bytes lie in the file.
  let range: Range<Int>

  /// The bytes, valid while `file` lives.
  var bytes: UnsafeRawBufferPointer { UnsafeRawBufferPointer(rebasing: file.bytes[range]) }

  /// Tells the kernel that the pages of this tensor are not needed any more, so that a model read
  /// from a mapped file does not count twice against the memory of the process.
  func releasePages() { file.releasePages(range) }
}

/// The names of files in a model directory.
enum ModelFileNames {
  static let config = "config.json"

  /// The model card.
  static let card = "README.md"
  /// The model card where somebody's own `README.md` stands.
  static let secondCard = "README.statex.md"
  static let tokenizerConfig = "tokenizer_config.json"

  /// Files that belong to the tokenizer or to generation, copied along with an export.
  static let companions = [
    "tokenizer.json", "tokenizer.model", tokenizerConfig, "special_tokens_map.json",
    "added_tokens.json", "vocab.json", "merges.txt", "chat_template.jinja",
    "generation_config.json",
  ]

  /// Whether an export may hold a file of that name beside configuration and weights.
  static func isCompanion(_ name: String) -> Bool {
    companions.contains(name) || name.hasSuffix(".py") || [card, secondCard].contains(name)
  }

  /// Shard `number` (from 1) of `count`.
  static func shard(_ number: Int, of count: Int) -> String {
    String(format: "model-%05d-of-%05d.safetensors", number, count)
  }
}

/// The formats of weight files, in the order in which a directory is searched for them.
public enum WeightFormat: String, Sendable, CaseIterable {
  /// The format of most checkpoints; holds nothing but tensors.
  case safetensors = "model.safetensors"
  /// What `torch.save` writes.
  case torch = "pytorch_model.bin"

  /// The name of the file when there is only one.
  var fileName: String { rawValue }
  /// The name of the list of shards.
  var indexName: String { rawValue + ".index.json" }
}

/// The mapped weight files of a model directory: one file, or an index with its shards.
struct WeightFiles {
  /// The file to name when the set of tensors is wrong: the single file or the index.
  let source: String
  /// Every tensor, sorted by name.
  let tensors: [StoredTensor]

  /// The names of the files that were read, the index of shards among them.
  var names: [String] {
    Set(([source] + tensors.map(\.file.path)).map(FileSystem.name)).sorted()
  }

  /// Maps the files and checks their headers; reads no weights.
  init(directory: String) throws(InteropError) {
    for format in WeightFormat.allCases {
      let single = directory + "/" + format.fileName
      let index = directory + "/" + format.indexName
      if try Self.exists(single) {
        source = single
        tensors = try Self.tensors(of: single, format)
        return
      }
      if try Self.exists(index) {
        source = index
        tensors = try Self.shardedTensors(index: index, directory: directory, format)
        return
      }
    }
    let others = [
      WeightFormat.safetensors.indexName, WeightFormat.torch.fileName, WeightFormat.torch.indexName,
    ]
    throw .malformed(
      file: directory + "/" + WeightFormat.safetensors.fileName,
      problem: "not found, and none of \(others.joined(separator: ", ")) either")
  }

  /// Whether a file is there, be it a link that leads nowhere: that is worth a message of its own.
  private static func exists(_ path: String) throws(InteropError) -> Bool {
    try InteropError.from(try FileSystem.exists(path, followingLinks: false))
  }

  /// The tensors of one file, sorted by name.
  private static func tensors(
    of path: String, _ format: WeightFormat
  ) throws(InteropError) -> [StoredTensor] {
    let file = try InteropError.from(try MappedFile(path: path))
    let tensors: [StoredTensor]
    switch format {
    case .safetensors:
      let header = try InteropError.from(try SafetensorsHeader(file))
      tensors = header.tensors.map { tensor in
        StoredTensor(
          name: tensor.name, dataType: tensor.dataType, shape: tensor.shape, file: file,
          range: header.fileRange(of: tensor))
      }
    case .torch:
      let checkpoint = try InteropError.from(try TorchCheckpoint(file))
      tensors = checkpoint.tensors.map { tensor in
        StoredTensor(
          name: tensor.name, dataType: tensor.dataType, shape: tensor.shape, file: file,
          range: tensor.range)
      }
    }
    return tensors.sorted { $0.name < $1.name }
  }

  private static func shardedTensors(
    index: String, directory: String, _ format: WeightFormat
  ) throws(InteropError) -> [StoredTensor] {
    let shards = try weightMap(index)
    for shard in shards.keys.sorted() where try !exists(directory + "/" + shard) {
      throw .malformed(file: index, problem: "names the file '\(shard)', which is not there")
    }
    var tensors: [StoredTensor] = []
    for (shard, names) in shards.sorted(by: { $0.key < $1.key }) {
      let stored = try Self.tensors(of: directory + "/" + shard, format)
      let found = Set(stored.map(\.name))
      if let name = names.subtracting(found).min() {
        throw .malformed(
          file: index, problem: "says that '\(shard)' holds tensor '\(name)', but it does not")
      }
      if let name = found.subtracting(names).min() {
        throw .malformed(
          file: index, problem: "does not say that '\(shard)' holds tensor '\(name)', but it does")
      }
      tensors += stored
    }
    return tensors.sorted { $0.name < $1.name }
  }

  /// The tensors' names for each shard.
  private static func weightMap(_ index: String) throws(InteropError) -> [String: Set<String>] {
    let json = try InteropError.from(try JSONValue(contentsOf: index, allowsNonFinite: true))
    guard case .object(let members)? = json["weight_map"] else {
      throw .malformed(file: index, problem: "has no object 'weight_map'")
    }
    var shards: [String: Set<String>] = [:]
    for member in members {
      guard let shard = member.value.string else {
        throw .malformed(
          file: index, problem: "the entry of '\(member.name)' in 'weight_map' is not a file name")
      }
      shards[shard, default: []].insert(member.name)
    }
    for shard in shards.keys.sorted() {
      let parts = shard.split(separator: "/", omittingEmptySubsequences: false)
      guard parts.allSatisfy({ !["", ".", ".."].contains($0) }), !shard.contains("\0") else {
        throw .malformed(
          file: index, problem: "names the file '\(shard)', which is not inside the directory")
      }
    }
    return shards
  }
}
