import Compression
import Files
import TensorFiles
import TensorStorage

/// What a model keeps of the tokens it has read: any number of texts can go on from it.
public struct ContextState {
  /// Tokens read, the last one included.
  public let tokenCount: Int
  /// The last token, which the state does not hold yet.
  let lastToken: Int32
  /// The recurrent state after all tokens but the last.
  let state: FloatBuffer
}

/// A context's state in a safetensors file, a tensor for each part of a block's state.
///
/// The metadata name the model (`EvaluatedModel.fingerprint`), the tokenizer, the tokens read and the hash
/// of the data.
extension ContextState {
  private static let format = "statex-context/1"

  private static func entries(_ model: EvaluatedModel) -> [SafetensorsHeader.Entry] {
    model.model.blocks.enumerated().flatMap { block, mixer in
      mixer.stateParts.enumerated().map { part, count in
        SafetensorsHeader.Entry(
          name: "blocks.\(block).\(part)", dataType: .float32, shape: [count])
      }
    }
  }

  /// Writes the file, in place of one that is there.
  ///
  /// - Parameters:
  ///   - path: where.
  ///   - model: whose state it is.
  ///   - tokenizer: the identity of what made the tokens; nil for token ids.
  /// - Throws: `.io`.
  public func write(
    to path: String, of model: EvaluatedModel, tokenizer: String?
  ) throws(FileError) {
    let data = UnsafeRawBufferPointer(start: state.pointer, count: 4 * state.count)
    let header = SafetensorsHeader(
      laidOut: Self.entries(model),
      metadata: [
        "format": Self.format, "model": model.fingerprint, "tokenizer": tokenizer ?? "",
        "tokens": "\(tokenCount)", "last_token": "\(lastToken)",
        "xxh64": XXH64.hexadecimal(XXH64.hash(data)),
      ], order: .asGiven)
    let replacement = try FileReplacement([path])
    try replacement.files[0].write(header.encoded())
    try replacement.files[0].write(data)
    try replacement.commit()
  }

  /// Reads a file.
  ///
  /// - Parameters:
  ///   - path: where.
  ///   - model: whose state it should be.
  ///   - tokenizer: the identity of what makes the tokens that follow; nil for token ids.
  /// - Throws: `FileError`; `EvaluationError.contextState` for something else, the state of another model,
  ///   or damaged data.
  public init(
    contentsOf path: String, of model: EvaluatedModel, tokenizer: String?
  ) throws {
    func refuse(_ problem: String) -> EvaluationError {
      .contextState(path: path, problem)
    }
    let file = try MappedFile(path: path)
    let header = try SafetensorsHeader(file)
    let metadata = header.metadata
    guard metadata["format"] == Self.format, let tokens = metadata["tokens"].flatMap({ Int($0) }),
      let last = metadata["last_token"].flatMap({ Int32($0) })
    else { throw refuse("not a context that statex generate saved") }
    guard metadata["model"] == model.fingerprint else {
      throw refuse("the context of another model (\(metadata["model"] ?? ""))")
    }
    guard metadata["tokenizer"] == tokenizer ?? "" else {
      throw refuse("its tokens are of another tokenizer (\(metadata["tokenizer"] ?? ""))")
    }
    let wanted = SafetensorsHeader(
      laidOut: Self.entries(model), metadata: metadata, order: .asGiven)
    guard header.tensors == wanted.tensors, 0..<model.model.vocabulary ~= Int(last), tokens >= 1
    else { throw refuse("its tensors are not the model's state") }
    let data = UnsafeRawBufferPointer(
      rebasing: file.bytes[header.byteCount..<header.fileByteCount])
    guard metadata["xxh64"] == XXH64.hexadecimal(XXH64.hash(data)) else {
      throw refuse("its data are damaged")
    }
    let state = FloatBuffer(count: model.model.stateCount(batch: 1))
    UnsafeMutableRawPointer(state.pointer).copyMemory(
      from: data.baseAddress ?? UnsafeRawPointer(state.pointer), byteCount: 4 * state.count)
    (tokenCount, lastToken, self.state) = (tokens, last, state)
  }
}
