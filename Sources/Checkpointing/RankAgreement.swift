import Files
import JSON

/// Lets all ranks do a part of the work and learn whether all succeeded.
struct RankAgreement {
  /// The step that is saved.
  let step: Int

  private let coordination: any ShardCoordination

  init(_ coordination: any ShardCoordination, step: Int) {
    self.coordination = coordination
    self.step = step
  }

  /// Does `work` for each local shard and gathers everybody's results.
  ///
  /// - Returns: the results of all shards.
  /// - Throws: `.notSaved` on every rank when any work failed; `.coordination` when the ranks cannot
  ///   be reached or do not save the same thing.
  @discardableResult
  func share(
    _ work: (_ shard: Int) throws(CheckpointError) -> JSONValue
  ) throws(CheckpointError) -> [JSONValue] {
    let messages = coordination.localShards.map { shard in
      do throws(CheckpointError) {
        return JSONValue.object([JSONMember("done", try work(shard))]).encoded()
      } catch {
        return JSONValue.object([JSONMember("failed", .string(error.description))]).encoded()
      }
    }
    let answers = try exchange(messages)
    var results: [JSONValue] = []
    var failures: [RankFailure] = []
    for (rank, answer) in answers.enumerated() {
      if let message = answer["failed"]?.string {
        failures.append(RankFailure(rank: rank, message: message))
      } else {
        results.append(answer["done"] ?? .null)
      }
    }
    guard failures.isEmpty else { throw .notSaved(step: step, failures: failures) }
    return results
  }

  private func exchange(_ messages: [[UInt8]]) throws(CheckpointError) -> [JSONValue] {
    let answers: [[UInt8]]
    do {
      answers = try coordination.exchange(messages)
    } catch {
      throw .coordination("\(error)")
    }
    guard answers.count == coordination.shardCount else {
      throw .coordination("\(answers.count) answers came for \(coordination.shardCount) shards")
    }
    return try answers.enumerated().map { rank, answer throws(CheckpointError) in
      do {
        return try answer.withUnsafeBytes { bytes throws(FileError) in
          try JSONValue(parsing: bytes, source: "rank \(rank)")
        }
      } catch {
        throw .coordination("rank \(rank) sent something else: \(error)")
      }
    }
  }
}
