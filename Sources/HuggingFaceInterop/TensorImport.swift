import Foundation
import LanguageModels
import TensorFiles
import TensorStorage

/// Which stored tensor each parameter of a model is read from.
///
/// Names are matched and shapes checked for the whole model before anything is allocated, so a
/// configuration that lies about sizes costs nothing.
struct TensorImport {
  /// Rows `part * rows ..< (part + 1) * rows` of a tensor; `part` is 0 when it is the whole tensor.
  private struct Source {
    let tensor: StoredTensor
    var part = 0
  }

  private let layout: ParameterLayout
  private let sources: [Source]
  private let tiedHead: (head: StoredTensor, embeddings: ParameterSlot)?

  /// Matches the tensors of a checkpoint with the parameters of a model.
  ///
  /// - Throws: `InteropError.tensors` that lists the missing and surplus tensors, or names the one of
  ///   a wrong shape or type.
  init(
    _ files: WeightFiles, into configuration: ModelConfiguration,
    trainable: TrainableParameters, dialect: any ModelDialect
  ) throws(InteropError) {
    layout = configuration.layout(trainable: trainable)
    var unused = try Self.parametersByName(files, configuration: configuration, dialect: dialect)
    var sources: [Source] = []
    var missing: [String] = []
    let available = unused
    for slot in layout.slots {
      if let source = try Self.source(of: slot, in: available, dialect: dialect) {
        sources.append(source.source)
        unused[source.key] = nil
      } else {
        missing.append(slot.name)
      }
    }
    tiedHead = try Self.takeTiedHead(&unused, configuration, layout: layout)
    try Self.checkComplete(
      missing: missing, surplus: unused.values.map(\.name).sorted(), file: files.source)
    self.sources = sources
  }

  /// The stored tensors under the names that the arena uses.
  private static func parametersByName(
    _ files: WeightFiles, configuration: ModelConfiguration, dialect: any ModelDialect
  ) throws(InteropError) -> [String: StoredTensor] {
    // Some converters save the whole model under a second `model.`: see fla-org/flame, pull 48.
    let isDoubled = files.tensors.contains { $0.name.hasPrefix("model.model.") }
    var result: [String: StoredTensor] = [:]
    for tensor in files.tensors {
      var name = tensor.name
      if isDoubled, name.hasPrefix("model.model.") || name == "model.lm_head.weight" {
        name.removeFirst("model.".count)
      }
      name = dialect.parameterName(name, in: configuration)
      if let other = result.updateValue(tensor, forKey: name) {
        throw .tensors(
          file: files.source,
          problem: "tensors '\(other.name)' and '\(tensor.name)' are the same parameter")
      }
    }
    return result
  }

  /// Where a parameter is read from, with the key of the tensor; nil when it is missing.
  private static func source(
    of slot: ParameterSlot, in available: [String: StoredTensor], dialect: any ModelDialect
  ) throws(InteropError) -> (source: Source, key: String)? {
    if let fused = fusedSource(of: slot, in: available, dialect: dialect) {
      try checkType(fused.source.tensor)
      return fused
    }
    guard let tensor = available[slot.name] else { return nil }
    guard tensor.shape == slot.shape else {
      throw .tensors(
        file: tensor.file.path,
        problem: "tensor '\(tensor.name)' has shape \(tensor.shape); the configuration asks for"
          + " \(slot.shape)")
    }
    try checkType(tensor)
    return (Source(tensor: tensor), slot.name)
  }

  private static func fusedSource(
    of slot: ParameterSlot, in available: [String: StoredTensor], dialect: any ModelDialect
  ) -> (source: Source, key: String)? {
    guard let names = dialect.fusedParameters(with: slot.name),
      let part = names.firstIndex(of: slot.name), let first = names.first,
      let tensor = available[first], let rows = slot.shape.first,
      names.dropFirst().allSatisfy({ available[$0] == nil }),
      tensor.shape == [rows * names.count] + slot.shape.dropFirst()
    else { return nil }
    return (Source(tensor: tensor, part: part), first)
  }

  private static func checkType(_ tensor: StoredTensor) throws(InteropError) {
    guard ElementConversion.readable.contains(tensor.dataType) else {
      let known = ElementConversion.readable.map(\.rawValue).joined(separator: ", ")
      throw .tensors(
        file: tensor.file.path,
        problem: "tensor '\(tensor.name)' is of type \(tensor.dataType.rawValue);"
          + " supported: \(known)")
    }
  }

  /// A head that is stored although it is tied; whether it equals the embeddings is seen on reading.
  private static func takeTiedHead(
    _ unused: inout [String: StoredTensor], _ configuration: ModelConfiguration,
    layout: ParameterLayout
  ) throws(InteropError) -> (StoredTensor, ParameterSlot)? {
    guard configuration.tiesEmbeddings,
      let embeddings = layout[configuration.family.embeddingsKey],
      let head = unused.removeValue(forKey: configuration.family.headKey)
    else { return nil }
    try checkType(head)
    guard head.shape == embeddings.shape else { throw Self.untied(head) }
    return (head, embeddings)
  }

  private static func untied(_ head: StoredTensor) -> InteropError {
    .tensors(
      file: head.file.path,
      problem: "tensor '\(head.name)' differs from the embeddings although config.json says"
        + " tie_word_embeddings: true; set it to false or drop the tensor")
  }

  private static func checkComplete(
    missing: [String], surplus: [String], file: String
  ) throws(InteropError) {
    var problems: [String] = []
    if !missing.isEmpty { problems.append("missing " + listed(missing)) }
    if !surplus.isEmpty {
      problems.append("not part of the model that config.json describes: " + listed(surplus))
    }
    guard problems.isEmpty else {
      throw .tensors(file: file, problem: problems.joined(separator: "; "))
    }
  }

  /// `2 tensors ('a', 'b')`, at most five of them.
  private static func listed(_ names: [String]) -> String {
    let shown = names.prefix(5).map { "'\($0)'" }.joined(separator: ", ")
    let rest = names.count > 5 ? ", and \(names.count - 5) more" : ""
    return "\(names.count) tensor\(names.count == 1 ? "" : "s") (\(shown)\(rest))"
  }

  /// Reads every parameter.
  ///
  /// - Throws: `InteropError.tensors` when a head that should be tied is not.
  func read() throws(InteropError) -> ParameterArena {
    let arena = ParameterArena(layout: layout)
    for (slot, source) in zip(layout.slots, sources) {
      let tensor = source.tensor
      let size = slot.count * tensor.dataType.byteCount
      let bytes = tensor.bytes[(source.part * size)..<((source.part + 1) * size)]
      ElementConversion.decode(
        UnsafeRawBufferPointer(rebasing: bytes), as: tensor.dataType, into: arena.elements(slot))
      tensor.releasePages()
    }
    if let tiedHead { try Self.checkTied(tiedHead.head, arena.elements(tiedHead.embeddings)) }
    return arena
  }

  private static func checkTied(
    _ head: StoredTensor, _ embeddings: UnsafeMutableBufferPointer<Float>
  ) throws(InteropError) {
    let block = 1 << 16
    let width = head.dataType.byteCount
    let converted = UnsafeMutableBufferPointer<Float>.allocate(capacity: block)
    defer { converted.deallocate() }
    for start in stride(from: 0, to: embeddings.count, by: block) {
      let count = min(block, embeddings.count - start)
      let values = UnsafeMutableBufferPointer(rebasing: converted[..<count])
      ElementConversion.decode(
        UnsafeRawBufferPointer(rebasing: head.bytes[(start * width)..<((start + count) * width)]),
        as: head.dataType, into: values)
      guard let stored = values.baseAddress, let tied = embeddings.baseAddress,
        memcmp(stored, tied + start, count * MemoryLayout<Float>.stride) == 0
      else { throw untied(head) }
    }
    head.releasePages()
  }
}
