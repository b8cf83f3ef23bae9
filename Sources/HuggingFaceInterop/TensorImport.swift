import Foundation
import JSON
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
    let type: ElementType
    var part = 0

    /// Converts the tensor's elements from `first` on.
    func decode(at first: Int, into target: UnsafeMutableBufferPointer<Float>) {
      let width = type.dataType.byteCount
      let bytes = tensor.bytes[(first * width)..<((first + target.count) * width)]
      ElementConversion.decode(UnsafeRawBufferPointer(rebasing: bytes), as: type, into: target)
    }
  }

  private let layout: ParameterLayout
  private let sources: [Source]
  private let tiedHead: (head: Source, embeddings: ParameterSlot)?

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
    let names = CheckpointNames.unwrapped(files.tensors.map(\.name))
    var result: [String: StoredTensor] = [:]
    for (tensor, name) in zip(files.tensors, names) {
      let name = dialect.parameterName(name, in: configuration)
      if let other = result.updateValue(tensor, forKey: name) {
        throw .tensors(
          file: files.source,
          problem: "tensors '\(other.name)' and '\(tensor.name)' are the same parameter")
      }
    }
    // Of two tensors that share their memory, safetensors' `save_model` keeps one, not always the same.
    let (embeddings, head) = (configuration.family.embeddingsKey, configuration.family.headKey)
    if configuration.tiesEmbeddings, result[embeddings] == nil {
      result[embeddings] = result.removeValue(forKey: head)
    }
    return result
  }

  /// Where a parameter is read from, with the key of the tensor; nil when it is missing.
  private static func source(
    of slot: ParameterSlot, in available: [String: StoredTensor], dialect: any ModelDialect
  ) throws(InteropError) -> (source: Source, key: String)? {
    if let fused = fusedTensor(of: slot, in: available, dialect: dialect) {
      let source = Source(tensor: fused.tensor, type: try type(of: fused.tensor), part: fused.part)
      return (source, fused.key)
    }
    guard let tensor = available[slot.name] else { return nil }
    guard tensor.shape == slot.shape else {
      throw .tensors(
        file: tensor.file.path,
        problem: "tensor '\(tensor.name)' has shape \(tensor.shape); the configuration asks for"
          + " \(slot.shape)")
    }
    return (Source(tensor: tensor, type: try type(of: tensor)), slot.name)
  }

  private static func fusedTensor(
    of slot: ParameterSlot, in available: [String: StoredTensor], dialect: any ModelDialect
  ) -> (tensor: StoredTensor, part: Int, key: String)? {
    guard let names = dialect.fusedParameters(with: slot.name),
      let part = names.firstIndex(of: slot.name), let first = names.first,
      let tensor = available[first], let rows = slot.shape.first,
      names.dropFirst().allSatisfy({ available[$0] == nil }),
      tensor.shape == [rows * names.count] + slot.shape.dropFirst()
    else { return nil }
    return (tensor, part, first)
  }

  private static func type(of tensor: StoredTensor) throws(InteropError) -> ElementType {
    guard let type = ElementType(tensor.dataType) else {
      let known = ElementType.allCases.map(\.rawValue).joined(separator: ", ")
      throw .tensors(
        file: tensor.file.path,
        problem: "tensor '\(tensor.name)' is of type \(tensor.dataType.rawValue);"
          + " supported: \(known)")
    }
    return type
  }

  /// A head that is stored although it is tied; whether it equals the embeddings is seen on reading.
  private static func takeTiedHead(
    _ unused: inout [String: StoredTensor], _ configuration: ModelConfiguration,
    layout: ParameterLayout
  ) throws(InteropError) -> (Source, ParameterSlot)? {
    guard configuration.tiesEmbeddings,
      let embeddings = layout[configuration.family.embeddingsKey],
      let head = unused.removeValue(forKey: configuration.family.headKey)
    else { return nil }
    let source = Source(tensor: head, type: try type(of: head))
    guard head.shape == embeddings.shape else { throw Self.untied(head) }
    return (source, embeddings)
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

  /// The type in which each parameter is stored.
  var elementTypes: ElementTypes {
    ElementTypes(
      zip(layout.slots, sources).map { slot, source in (slot.name, slot.count, source.type) })
  }

  /// Reads every parameter.
  ///
  /// - Throws: `InteropError.tensors` for an element that is infinite or not a number, and when a head
  ///   that should be tied is not.
  func read() throws(InteropError) -> ParameterArena {
    let arena = ParameterArena(layout: layout)
    for (slot, source) in zip(layout.slots, sources) {
      let elements = arena.elements(slot)
      var start = 0
      while start < elements.count {
        let end = min(start + ElementConversion.blockCount, elements.count)
        let block = UnsafeMutableBufferPointer(rebasing: elements[start..<end])
        source.decode(at: source.part * slot.count + start, into: block)
        if let index = ElementConversion.firstBeyond(.float32, UnsafeBufferPointer(block)) {
          throw Self.nonFinite(source.tensor, block[index], at: start + index)
        }
        start = end
      }
      source.tensor.releasePages()
    }
    if let tiedHead { try Self.checkTied(tiedHead.head, arena.elements(tiedHead.embeddings)) }
    return arena
  }

  private static func nonFinite(
    _ tensor: StoredTensor, _ value: Float, at index: Int
  ) -> InteropError {
    .tensors(
      file: tensor.file.path,
      problem:
        "tensor '\(tensor.name)' holds \(value.isNaN ? "NaN" : "\(value)") (element \(index)):"
        + " the weights are damaged or have diverged; use an earlier checkpoint")
  }

  private static func checkTied(
    _ head: Source, _ embeddings: UnsafeMutableBufferPointer<Float>
  ) throws(InteropError) {
    let block = ElementConversion.blockCount
    let converted = UnsafeMutableBufferPointer<Float>.allocate(capacity: block)
    defer { converted.deallocate() }
    for start in stride(from: 0, to: embeddings.count, by: block) {
      let count = min(block, embeddings.count - start)
      let values = UnsafeMutableBufferPointer(rebasing: converted[..<count])
      head.decode(at: start, into: values)
      guard let stored = values.baseAddress, let tied = embeddings.baseAddress,
        memcmp(stored, tied + start, count * MemoryLayout<Float>.stride) == 0
      else { throw untied(head.tensor) }
    }
    head.tensor.releasePages()
  }
}
