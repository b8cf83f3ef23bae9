import Evaluation
import Foundation
import Kernels
import Testing

@Suite("Saved contexts")
struct ContextStateTests {
  private let folder: TemporaryFolder
  private let prompt: [Int32] = (0..<41).map { $0 * 7 % 40 }

  init() throws { folder = try TemporaryFolder() }

  @Test("what follows a saved context is what follows the whole prompt", arguments: [4, 64])
  func continues(segment: Int) throws {
    let model = randomModel(vocabulary: 40, segmentLength: segment)
    let path = folder.path + "/context"
    let saved = try Generator(model).context(Array(prompt.prefix(30)))
    #expect(saved.tokenCount == 30)
    try saved.write(to: path, of: model, tokenizer: nil)
    let read = try ContextState(contentsOf: path, of: model, tokenizer: nil)
    let generator = Generator(model)
    let whole = try generator.continuation(of: prompt, maximumNewTokens: 12)
    for _ in 0..<2 {
      let continued = try generator.continuation(
        of: Array(prompt.suffix(11)), after: read, maximumNewTokens: 12)
      #expect(continued == whole)
    }
    // Without a prompt, and in two steps.
    let further = try Generator(model).context(Array(prompt.suffix(11)), after: read)
    #expect(further.tokenCount == 41)
    #expect(try generator.continuation(of: [], after: further, maximumNewTokens: 12) == whole)
  }

  @Test("a context is refused for another model, another tokenizer, and when it is damaged")
  func refusals() throws {
    let (model, path) = (randomModel(vocabulary: 40), folder.path + "/context")
    try Generator(model).context(prompt).write(to: path, of: model, tokenizer: "byte")
    func refused(_ path: String, _ model: EvaluatedModel, _ tokenizer: String?) -> String? {
      do {
        _ = try ContextState(contentsOf: path, of: model, tokenizer: tokenizer)
        return nil
      } catch let error as EvaluationError {
        return error.exitCode == 65 ? error.description : nil
      } catch {
        return "\(error)"
      }
    }
    #expect(refused(path, model, "byte") == nil)
    #expect(refused(path, model, nil)?.contains("tokenizer") == true)
    let other = randomModel(vocabulary: 40)
    other.parameters.pointer[5] += 1
    #expect(refused(path, other, "byte")?.contains("another model") == true)
    var bytes = [UInt8](try Data(contentsOf: URL(fileURLWithPath: path)))
    let whole = bytes
    bytes[bytes.count - 3] ^= 1
    try Data(bytes).write(to: URL(fileURLWithPath: path))
    #expect(refused(path, model, "byte")?.contains("damaged") == true)
    try Data(whole.dropLast(9)).write(to: URL(fileURLWithPath: path))
    #expect(refused(path, model, "byte") != nil)
  }

  @Test("weights that are bf16 numbers already give the same ids")
  func exactWeights() throws {
    let model = randomModel(vocabulary: 40)
    for i in 0..<model.parameters.count {
      let bits = model.parameters.pointer[i].bitPattern & 0xFFFF_0000
      model.parameters.pointer[i] = Float(bitPattern: bits)
    }
    let plain = try Generator(model).continuation(of: prompt, maximumNewTokens: 30)
    let weights = BFloat16Weights(model.parameters)
    let halved = try Generator(model, weights: weights)
      .continuation(of: prompt, maximumNewTokens: 30)
    #expect(halved == plain)
  }
}
