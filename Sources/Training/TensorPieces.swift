import Checkpointing
import Kernels
import TensorFiles
import TensorStorage

/// A part of a tensor of a checkpoint's stores, small enough that threads get equal work.
struct TensorPiece {
  /// As checkpoints call the tensor, for example `exp_avg/blocks.0.norm.weight`.
  var name: String
  /// The type of its numbers.
  var dataType: TensorDataType
  /// The numbers, as long as the store lives.
  var bytes: UnsafeRawBufferPointer

  /// Bytes of a piece at most.
  private static let mostBytes = 4 << 20

  /// What this process holds of a store's tensors, cut into pieces.
  static func pieces(of store: CheckpointStore, _ layout: ParameterLayout) -> [TensorPiece] {
    var pieces: [TensorPiece] = []
    let size = store.dataType.byteCount
    for part in store.parts {
      for slot in layout.slots {
        let held = slot.range.clamped(to: part.range)
        let bytes = UnsafeRawBufferPointer(
          start: part.bytes + (held.lowerBound - part.range.lowerBound) * size,
          count: held.count * size)
        for first in stride(from: 0, to: bytes.count, by: mostBytes) {
          let end = min(first + mostBytes, bytes.count)
          pieces.append(
            TensorPiece(
              name: "\(store.name)/\(slot.name)", dataType: store.dataType,
              bytes: .init(rebasing: bytes[first..<end])))
        }
      }
    }
    return pieces
  }
}

/// The first piece in which a number is infinite or NaN; nil if all are finite.
///
/// Costs one read of the memory, on all threads.
func firstNotFinite(_ pieces: [TensorPiece]) -> TensorPiece? {
  let isBad = UnsafeMutablePointer<Bool>.allocate(capacity: pieces.count)
  defer { isBad.deallocate() }
  isBad.initialize(repeating: false, count: pieces.count)
  let values = pieces.map { (bytes: $0.bytes, isWide: $0.dataType == .float32) }
  values.withUnsafeBufferPointer { values in
    parallelFor(values.count, (values, isBad)) { job, index in
      let (bytes, isWide) = job.0[index]
      job.1[index] = isWide ? hasNotFinite32(bytes) : hasNotFinite16(bytes)
    }
  }
  return pieces.indices.first { isBad[$0] }.map { pieces[$0] }
}

/// Whether a float among `bytes` has the exponent of infinity and NaN.
private func hasNotFinite32(_ bytes: UnsafeRawBufferPointer) -> Bool {
  var largest: UInt32 = 0
  for bits in bytes.bindMemory(to: UInt32.self) { largest = max(largest, bits & 0x7FFF_FFFF) }
  return largest >= 0x7F80_0000
}

/// Whether a bfloat16 among `bytes` has the exponent of infinity and NaN.
private func hasNotFinite16(_ bytes: UnsafeRawBufferPointer) -> Bool {
  var largest: UInt16 = 0
  for bits in bytes.bindMemory(to: UInt16.self) { largest = max(largest, bits & 0x7FFF) }
  return largest >= 0x7F80
}
