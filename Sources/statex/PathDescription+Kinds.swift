import Checkpointing
import CommandSupport
import Files
import HuggingFaceInterop
import JSON
import LanguageModels
import StateExpansion
import TensorFiles
import TensorStorage
import TokenData

extension PathDescription {
  /// A Hugging Face model directory: its configuration and each layer's state.
  static func model(_ path: String) throws(InteropError) -> PathDescription {
    let file = try HuggingFaceModel.loadConfiguration(directory: path)
    let configuration = file.configuration
    let expanded = configuration.layers.indices.filter {
      configuration.layers[$0] != configuration.base
    }
    let layers = configuration.layers.map { layer in
      let parameters = layer.parameters(prefix: "", initialization: .init())
        .reduce(0) { $0 + $1.shape.reduce(1, *) }
      return (layer.stateShape, layer.recurrentStateCount, parameters)
    }
    var description = PathDescription(
      .model,
      [
        JSONMember("family", .string(configuration.family.name)),
        JSONMember("hidden_size", .integer(configuration.hiddenSize)),
        JSONMember("vocab_size", .integer(configuration.vocabularySize)),
        JSONMember("tied_embeddings", .bool(configuration.tiesEmbeddings)),
        JSONMember("layer_count", .integer(layers.count)),
        JSONMember("expanded_layers", .array(expanded.map { .integer($0) })),
        JSONMember("parameters", .integer(configuration.layout().parameterCount)),
        JSONMember("recurrent_state", .integer(configuration.recurrentStateCount)),
      ] + weights(of: path) + card(of: path) + [
        JSONMember("warnings", .array(file.warnings.map { .string($0) })),
        JSONMember(
          "layers",
          .array(
            layers.map { shape, state, parameters in
              .object([
                JSONMember("state_shape", .string(shape)), JSONMember("state", .integer(state)),
                JSONMember("parameters", .integer(parameters)),
              ])
            })),
      ])
    description.table = [["layer", "state", "numbers", "parameters"]]
    for (index, layer) in layers.enumerated() {
      let mark = expanded.contains(index) ? "\(index) expanded" : "\(index)"
      description.table.append([mark, layer.0, "\(layer.1)", "\(layer.2)"])
    }
    return description
  }

  /// What the weight files of a model directory hold, or why they cannot be read.
  private static func weights(of path: String) -> [JSONMember] {
    do throws(InteropError) {
      let weights = try HuggingFaceModel.describeWeights(directory: path)
      return [
        JSONMember("weights", .string(weights.elementTypes.description)),
        JSONMember("weight_files", .integer(weights.fileCount)),
        JSONMember("weight_bytes", .integer(weights.byteCount)),
      ]
    } catch {
      return [JSONMember("weights", .string("unusable: \(error.description)"))]
    }
  }

  /// What a model's card says of its making.
  private static func card(of path: String) -> [JSONMember] {
    let facts = ModelCard(directory: path)?.facts ?? []
    return facts.map { fact in
      JSONMember(
        "card_" + fact.name.split(separator: " ").joined(separator: "_"), .string(fact.value))
    }
  }

  /// One checkpoint: what its manifest says.
  static func checkpoint(_ path: String) throws(CheckpointError) -> PathDescription {
    let manifest = try CheckpointReader(path: path).manifest
    let creation = manifest.creation
    var description = PathDescription(
      .checkpoint,
      [
        JSONMember("path", .string(path)),
        JSONMember("step", .integer(manifest.step)),
        JSONMember("run_id", .string(manifest.runID)),
        JSONMember("stores", .array(manifest.stores.map { .string($0.name) })),
        JSONMember("tensors", .integer(manifest.layout.slots.count)),
        JSONMember("parameters", .integer(manifest.layout.parameterCount)),
        JSONMember("shards", .integer(manifest.shards.count)),
        JSONMember("bytes", .integer(manifest.shards.reduce(0) { $0 + $1.byteCount })),
        JSONMember("raw_bytes", .integer(manifest.shards.reduce(0) { $0 + $1.rawByteCount })),
        JSONMember("created", .string(creation.time)),
        JSONMember("host", .string(creation.host)),
        JSONMember("ranks", .integer(creation.ranks)),
        JSONMember("training", manifest.training),
      ])
    description.table = [["shard", "bytes", "uncompressed"]]
    for shard in manifest.shards {
      description.table.append([shard.file, "\(shard.byteCount)", "\(shard.rawByteCount)"])
    }
    return description
  }

  /// A run directory: its committed checkpoints, newest first.
  static func run(_ path: String) throws(CheckpointError) -> PathDescription {
    let entries = try CheckpointCatalog.entries(in: path)
    var description = PathDescription(
      .run,
      [
        JSONMember("path", .string(path)),
        JSONMember("checkpoint_count", .integer(entries.count)),
        JSONMember(
          "checkpoints",
          .array(
            entries.map {
              .object([
                JSONMember("step", .integer($0.step)), JSONMember("path", .string($0.path)),
              ])
            })),
      ])
    guard !entries.isEmpty else { return description }
    description.table = [["checkpoint", "step"]] + entries.map { [$0.path, "\($0.step)"] }
    return description
  }

  /// A safetensors file: its header.
  static func safetensors(_ path: String) throws(FileError) -> PathDescription {
    let file = try MappedFile(path: path)
    let header = try SafetensorsHeader(file)
    let tensors = header.tensors.sorted { $0.name < $1.name }
    var description = PathDescription(
      .safetensors,
      [
        JSONMember("bytes", .integer(file.byteCount)),
        JSONMember("tensor_count", .integer(tensors.count)),
        JSONMember("elements", .integer(tensors.reduce(0) { $0 + $1.count })),
        JSONMember(
          "metadata",
          .object(
            header.metadata.sorted { $0.key < $1.key }
              .map { JSONMember($0.key, .string($0.value)) })),
        JSONMember(
          "tensors",
          .object(
            tensors.map { tensor in
              JSONMember(
                tensor.name,
                .object([
                  JSONMember("dtype", .string(tensor.dataType.rawValue)),
                  JSONMember("shape", .array(tensor.shape.map { .integer($0) })),
                ]))
            })),
      ])
    description.table = [["tensor", "dtype", "shape"]]
    for tensor in tensors {
      let shape = tensor.shape.map(String.init).joined(separator: " x ")
      description.table.append([tensor.name, tensor.dataType.rawValue, shape])
    }
    return description
  }

  /// Token files: their size and their first tokens.
  ///
  /// - Parameter names: prefixes, files or patterns.
  /// - Returns: the facts; of several files also each one's.
  /// - Throws: `TokenDataError`.
  static func tokens(_ names: [String]) throws(TokenDataError) -> PathDescription {
    try tokens(TokenSelection(names).open())
  }

  /// Token files that are open: their size and their first tokens.
  ///
  /// - Precondition: there is one at least.
  static func tokens(_ files: [MegatronTokens]) throws(TokenDataError) -> PathDescription {
    guard files.count > 1 else { return try tokens(files[0]) }
    var description = PathDescription(
      .tokens,
      [
        JSONMember("file_count", .integer(files.count)),
        JSONMember("documents", .integer(files.reduce(0) { $0 + $1.documentCount })),
        JSONMember("tokens", .integer(files.reduce(0) { $0 + $1.tokenCount })),
        JSONMember(
          "files",
          .array(
            try files.map { file throws(TokenDataError) in
              .object(Array(try tokens(file).members.dropFirst()))
            })),
      ])
    description.table = [["file", "documents", "tokens", "dtype"]]
    for file in files {
      description.table.append(
        [file.prefix, "\(file.documentCount)", "\(file.tokenCount)", "\(file.element)"])
    }
    return description
  }

  private static func tokens(_ data: MegatronTokens) throws(TokenDataError) -> PathDescription {
    let first = UnsafeMutableBufferPointer<Int32>.allocate(capacity: min(16, data.tokenCount))
    defer { first.deallocate() }
    try data.read(from: 0, into: first, vocabularySize: nil)
    return PathDescription(
      .tokens,
      [
        JSONMember("prefix", .string(data.prefix)),
        JSONMember("documents", .integer(data.documentCount)),
        JSONMember("sequences", .integer(data.sequenceCount)),
        JSONMember("tokens", .integer(data.tokenCount)),
        JSONMember("dtype", .string("\(data.element)")),
        JSONMember("first_tokens", .array(first.map { .integer($0) })),
        JSONMember("fingerprint", .string(data.fingerprint().description)),
      ])
  }
}
