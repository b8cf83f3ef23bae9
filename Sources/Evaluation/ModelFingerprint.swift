import Compression
import TensorStorage

extension EvaluatedModel {
  /// Identifies the model: the XXH64 of every tensor's name, shape and values, and of everything else that
  /// its configuration says, as 16 hexadecimal digits.
  ///
  /// It reads all weights.
  public var fingerprint: String {
    var hash = XXH64()
    let configuration = model.configuration
    let head = "\(configuration.family.name) \(configuration.normEpsilon) \(configuration.layers)\n"
    Array(head.utf8).withUnsafeBytes { hash.update($0) }
    for slot in model.layout.slots.sorted(by: { $0.name < $1.name }) {
      Array("\(slot.name) \(slot.shape)\n".utf8).withUnsafeBytes { hash.update($0) }
      hash.update(
        UnsafeRawBufferPointer(start: parameters.pointer + slot.offset, count: 4 * slot.count))
    }
    return XXH64.hexadecimal(hash.digest())
  }
}
