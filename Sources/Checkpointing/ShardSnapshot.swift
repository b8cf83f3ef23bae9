import ErrorReporting
import Foundation
import TensorStorage

/// The values of one shard as they were at one moment, while training goes on.
///
/// They are read where they are, from the first to the last, until somebody is about to change them.
/// `detach` then copies what has not been read yet, so that a save costs training no more than that copy,
/// and nothing when the values are written before they change.
///
/// One thread reads, another one detaches.
final class ShardSnapshot: @unchecked Sendable {
  private let plan: ShardPlan
  private let stores: [CheckpointStore]
  private let condition = NSCondition()
  /// Bytes read so far, of all pieces in their order.
  private var position = 0
  /// Whether nobody will read any more.
  private var isClosed = false
  /// A copy of the bytes from `copyStart` on.
  private var copy: UnsafeMutableRawBufferPointer?
  private var copyStart = 0

  /// Bytes of all pieces.
  let byteCount: Int

  /// The values that `plan` names, in memory that stays where it is.
  init(_ plan: ShardPlan, stores: [CheckpointStore]) {
    self.plan = plan
    self.stores = stores
    byteCount = plan.pieces.reduce(0) { $0 + $1.byteRange.count }
  }

  deinit { copy?.deallocate() }

  /// Copies the next bytes; the caller reads a piece to its end before the next one.
  ///
  /// - Parameters:
  ///   - piece: the piece that they belong to.
  ///   - offset: their place in the piece.
  ///   - output: where to put them; its size says how many.
  /// - Precondition: they follow those that were read before.
  func read(_ piece: ShardPlan.Piece, at offset: Int, into output: UnsafeMutableRawBufferPointer) {
    condition.lock()
    defer { condition.unlock() }
    require(
      position == piece.byteRange.lowerBound - plan.valueStart + offset, "a shard is read in order")
    if let copy {
      let start = position - copyStart
      output.copyMemory(
        from: UnsafeRawBufferPointer(rebasing: copy[start..<(start + output.count)]))
    } else {
      let bytes = UnsafeRawBufferPointer(stores[piece.store].bytes(of: piece.range))
      output.copyMemory(
        from: UnsafeRawBufferPointer(rebasing: bytes[offset..<(offset + output.count)]))
    }
    position += output.count
    condition.broadcast()
  }

  /// Says that nothing more will be read.
  func close() {
    condition.lock()
    isClosed = true
    copy?.deallocate()
    copy = nil
    condition.broadcast()
    condition.unlock()
  }

  /// Returns when the values may change; what has not been read is copied first.
  ///
  /// - Parameter limit: bytes that a copy may take: with more to copy, the caller waits for the reader.
  func detach(copyingAtMost limit: Int) {
    condition.lock()
    defer { condition.unlock() }
    guard copy == nil else { return }
    while !isClosed, byteCount - position > limit { condition.wait() }
    guard !isClosed, position < byteCount else { return }
    let rest = UnsafeMutableRawBufferPointer.allocate(
      byteCount: byteCount - position, alignment: 64)
    for piece in plan.pieces {
      let end = piece.byteRange.upperBound - plan.valueStart
      guard end > position else { continue }
      let start = end - piece.byteRange.count
      let bytes = UnsafeRawBufferPointer(stores[piece.store].bytes(of: piece.range))
      let unread = UnsafeRawBufferPointer(rebasing: bytes[(max(position, start) - start)...])
      UnsafeMutableRawBufferPointer(rebasing: rest[(max(position, start) - position)...])
        .copyMemory(from: unread)
    }
    (copy, copyStart) = (rest, position)
  }
}
