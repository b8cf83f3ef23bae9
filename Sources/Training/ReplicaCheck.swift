import Checkpointing
import Compression
import Foundation
import Kernels
import TensorStorage

/// Compares what every rank holds a copy of, tensor by tensor, by hash.
///
/// Such copies have equal bits after every step. One that differs was damaged, in memory or by a processor
/// that computed wrongly, and everything trained from it is wrong without a sign. What ranks share
/// out among them, the moments of `optimizer_sharding: zero1`, exists once and cannot be compared.
///
/// XXH64 misses one random difference in 1.8e19. Costs one read of the memory, on all threads.
///
/// Where a rank updates a part and hands it to the others, what flips in that part between the comparison and
/// the update is in all copies afterwards. The rank therefore looks at its part once more when it need not wait
/// for anyone any longer (`lookAgain`), and tells the others at the next comparison.
final class ReplicaCheck {
  private let stores: [CheckpointStore]
  private let pieces: [TensorPiece]
  private let bytes: UnsafeMutablePointer<UnsafeRawBufferPointer>
  private let hashes: UnsafeMutableBufferPointer<UInt64>
  /// The pieces that hold something of the part that only this rank updates.
  private let own: UnsafeMutableBufferPointer<Int>
  private let again: UnsafeMutableBufferPointer<UInt64>
  /// The first of them that changed after it was compared.
  private var changed: Int?

  /// Compares the tensors of `layout` in `stores`, which all ranks hold in the same order.
  ///
  /// - Parameters:
  ///   - stores: what holds the tensors.
  ///   - layout: the tensors.
  ///   - part: where the memory lies that only this rank updates; empty where every rank updates all.
  init(_ stores: [CheckpointStore], layout: ParameterLayout, part: [UnsafeRawBufferPointer]) {
    self.stores = stores
    let pieces = stores.flatMap { TensorPiece.pieces(of: $0, layout) }
    self.pieces = pieces
    bytes = .allocate(capacity: pieces.count)
    bytes.initialize(from: pieces.map(\.bytes), count: pieces.count)
    hashes = .allocate(capacity: pieces.count)
    hashes.initialize(repeating: 0)
    let own = pieces.indices.filter { index in part.contains { pieces[index].bytes.overlaps($0) } }
    self.own = .allocate(capacity: own.count)
    _ = self.own.initialize(from: own)
    again = .allocate(capacity: own.count)
    again.initialize(repeating: 0)
  }

  deinit {
    bytes.deallocate()
    hashes.deallocate()
    own.deallocate()
    again.deallocate()
  }

  /// Makes sure that all ranks hold the same; collective.
  ///
  /// - Parameters:
  ///   - ranks: who compares.
  ///   - step: steps done, for the error.
  /// - Throws: `TrainingError.diverged` on all ranks, naming ranks and tensor; `CollectiveError`.
  func run(_ ranks: Ranks, step: Int) throws {
    parallelFor(pieces.count, (bytes, hashes)) { job, index in
      job.1[index] = XXH64.hash(job.0[index])
    }
    let all = UnsafeRawBufferPointer(hashes)
    var digest = (hash: XXH64.hash(all), changed: Int64(changed ?? -1))
    let digests = try ranks.communicator.gather(withUnsafeBytes(of: &digest) { Array($0) })
    guard digests.contains(where: { $0 != digests[0] }) || digest.changed >= 0 else { return }
    try requireUnchanged(ranks, step)
    let tables = try ranks.communicator.gather(Array(all))
    let hosts = try ranks.communicator.gather(Array(ProcessInfo.processInfo.hostName.utf8))
    let difference = ReplicaDifference(
      names: pieces.map(\.name),
      hashes: tables.map { table in table.withUnsafeBytes { Array($0.bindMemory(to: UInt64.self)) }
      },
      hosts: hosts.map { String(decoding: $0, as: UTF8.self) })
    throw TrainingError.diverged(step: step, what: difference.description)
  }

  /// Looks once more at what only this rank updates, right before it does; not collective.
  func lookAgain() {
    guard changed == nil else { return }
    parallelFor(own.count, (own, bytes, again)) { job, number in
      job.2[number] = XXH64.hash(job.1[job.0[number]])
    }
    for number in own.indices where changed == nil && again[number] != hashes[own[number]] {
      changed = own[number]
    }
  }

  private func requireUnchanged(_ ranks: Ranks, _ step: Int) throws {
    let names = try ranks.communicator.gather(Array((changed.map { pieces[$0].name } ?? "").utf8))
    let hosts = try ranks.communicator.gather(Array(ProcessInfo.processInfo.hostName.utf8))
    guard let rank = names.firstIndex(where: { !$0.isEmpty }) else { return }
    let text = [names[rank], hosts[rank]].map { String(decoding: $0, as: UTF8.self) }
    throw TrainingError.diverged(
      step: step,
      what: "\(text[0]) on rank \(rank) (\(text[1])) changed between a comparison and its update")
  }
}

extension UnsafeRawBufferPointer {
  /// Whether some byte lies in both.
  fileprivate func overlaps(_ other: UnsafeRawBufferPointer) -> Bool {
    guard let first = baseAddress, let second = other.baseAddress else { return false }
    return first < second + other.count && second < first + count
  }
}

/// Which ranks hold other values than the others, and of what.
package struct ReplicaDifference: CustomStringConvertible {
  /// The first tensor that is not the same everywhere; nil if all are.
  package let tensor: String?
  /// How many tensors are not.
  package let tensorCount: Int
  /// The ranks that differ from more than half of all, if there are so many; otherwise all.
  package let ranks: [Int]
  /// Whether more than half of the ranks agree, so that it is the others that are wrong.
  package let hasMajority: Bool

  private let hosts: [String]

  /// Looks for what differs.
  ///
  /// - Parameters:
  ///   - names: the tensors' names; one that has several pieces stands there as often.
  ///   - hashes: of every rank, one for each name.
  ///   - hosts: where each rank runs.
  package init(names: [String], hashes: [[UInt64]], hosts: [String]) {
    self.hosts = hosts
    let different = names.indices.filter { index in
      hashes.contains { $0[index] != hashes[0][index] }
    }
    tensor = different.first.map { names[$0] }
    tensorCount = Set(different.map { names[$0] }).count
    // A rank that is wrong anywhere is wrong.
    var (wrong, isClear) = (Set<Int>(), true)
    for index in different {
      let values = hashes.map { $0[index] }
      let common = values.first { value in
        2 * values.filter { $0 == value }.count > values.count
      }
      isClear = isClear && common != nil
      wrong.formUnion(values.indices.filter { values[$0] != common })
    }
    hasMajority = isClear && !different.isEmpty
    ranks = hasMajority ? wrong.sorted() : Array(hashes.indices)
  }

  /// For the user: what differs where.
  package var description: String {
    guard let tensor else { return "all ranks hold the same" }
    let most = 8
    var named = ranks.prefix(most).map { "\($0) (\(hosts[$0]))" }.joined(separator: ", ")
    if ranks.count > most { named += " and \(ranks.count - most) more" }
    let others = tensorCount > 1 ? " and \(tensorCount - 1) more" : ""
    let word = ranks.count > 1 ? "ranks" : "rank"
    return hasMajority
      ? "\(tensor)\(others) on \(word) \(named) is not what the other ranks hold"
      : "\(tensor)\(others) differs between \(word) \(named)"
  }
}
