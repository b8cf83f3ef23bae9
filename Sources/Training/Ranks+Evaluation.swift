import Evaluation

extension Ranks: EvaluationRanks {
  /// What `body` returned on every rank, by rank; if it fails on any, all throw the first rank's error.
  public func gather(_ body: () throws -> [UInt8]) throws -> [[UInt8]] {
    try communicator.gather(try agree(body))
  }
}
