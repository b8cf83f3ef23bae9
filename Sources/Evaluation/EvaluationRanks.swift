/// The ranks that measure a model together: each measures a part, and all learn everything.
///
/// This room knows nothing of MPI: who runs a measurement hands in its ranks.
public protocol EvaluationRanks {
  /// This process's number, 0 ..< size.
  var rank: Int { get }
  /// Number of processes.
  var size: Int { get }
  /// What `body` returned on every rank, ordered by rank, on every rank; collective.
  ///
  /// - Throws: on all ranks, when `body` throws on any.
  func gather(_ body: () throws -> [UInt8]) throws -> [[UInt8]]
}

extension EvaluationRanks {
  /// Whether this is the rank that reads and writes what is read and written once.
  public var leads: Bool { rank == 0 }

  /// Runs `body` on every rank; if it fails on any, all throw; collective.
  public func together<Result>(_ body: () throws -> Result) throws -> Result {
    var result: Result?
    _ = try gather {
      result = try body()
      return []
    }
    guard let result else { fatalError("a rank went on without a result") }
    return result
  }
}

/// A process that measures alone.
public struct SingleRank: EvaluationRanks {
  /// The only one.
  public let rank = 0
  /// One.
  public let size = 1

  /// The only rank there is.
  public init() {}

  /// What `body` returned.
  public func gather(_ body: () throws -> [UInt8]) throws -> [[UInt8]] { [try body()] }
}
