import CMPI

/// Exchanges of floats that continue while their callers compute.
///
/// Each of the two kinds has its own communicator, so the exchanges of one kind have to be started in
/// the same order on all ranks, whatever else is called in between. Open MPI moves data only inside MPI
/// calls, so `isDone` must be called now and then.
public final class NonBlockingExchanges {
  /// The blocks of an all-to-all exchange; MPI reads them until the exchange is done.
  public final class Blocks {
    /// Floats to send to each rank.
    public let sendCounts: UnsafeMutableBufferPointer<Int32>
    /// Where each rank's block starts in the send buffer.
    public let sendOffsets: UnsafeMutableBufferPointer<Int32>
    /// Floats to receive from each rank.
    public let receiveCounts: UnsafeMutableBufferPointer<Int32>
    /// Where each rank's block goes in the receive buffer.
    public let receiveOffsets: UnsafeMutableBufferPointer<Int32>

    private let memory: UnsafeMutableBufferPointer<Int32>

    /// An exchange among `size` ranks, with empty blocks.
    public init(size: Int) {
      memory = .allocate(capacity: 4 * size)
      memory.initialize(repeating: 0)
      let memory = memory
      func part(_ index: Int) -> UnsafeMutableBufferPointer<Int32> {
        UnsafeMutableBufferPointer(rebasing: memory[(index * size)..<((index + 1) * size)])
      }
      (sendCounts, sendOffsets) = (part(0), part(1))
      (receiveCounts, receiveOffsets) = (part(2), part(3))
    }

    deinit { memory.deallocate() }
  }

  /// An exchange in progress, or none.
  public struct Operation {
    fileprivate var request: MPI_Request?

    /// No exchange, which counts as done.
    public init() {}
  }

  private let communicator: Communicator
  private let exchanges: MPI_Comm
  private let shares: MPI_Comm

  /// Makes the two communicators; collective.
  ///
  /// MPI frees them when it is finalized.
  ///
  /// - Throws: `CollectiveError`.
  public init(_ communicator: Communicator) throws {
    self.communicator = communicator
    exchanges = try communicator.duplicate()
    shares = try communicator.duplicate()
  }

  /// Starts to send every rank its block of `send` and to receive a block from each.
  ///
  /// - Returns: the exchange; all three arguments must stay until it is done.
  /// - Throws: `CollectiveError`.
  public func startExchange(
    _ send: UnsafePointer<Float>, into receive: UnsafeMutablePointer<Float>, _ blocks: Blocks
  ) throws -> Operation {
    var operation = Operation()
    try Communicator.check(
      MPI_Ialltoallv(
        send, blocks.sendCounts.baseAddress, blocks.sendOffsets.baseAddress, statex_mpi_float(),
        receive, blocks.receiveCounts.baseAddress, blocks.receiveOffsets.baseAddress,
        statex_mpi_float(), exchanges, &operation.request), "MPI_Ialltoallv",
      bytes: 4 * blocks.sendCounts.reduce(0) { $0 + Int($1) })
    return operation
  }

  /// Starts to fill in every rank's block of `values` from its owner.
  ///
  /// - Parameters:
  ///   - values: the array, whole on every rank.
  ///   - counts: floats that each rank owns.
  ///   - offsets: where each rank's block starts.
  /// - Returns: the exchange; all three arguments must stay until it is done.
  /// - Throws: `CollectiveError`.
  public func startShare(
    inPlace values: UnsafeMutablePointer<Float>, counts: UnsafeMutableBufferPointer<Int32>,
    offsets: UnsafeMutableBufferPointer<Int32>
  ) throws -> Operation {
    var operation = Operation()
    try Communicator.check(
      MPI_Iallgatherv(
        statex_mpi_in_place(), 0, statex_mpi_float(), values, counts.baseAddress,
        offsets.baseAddress, statex_mpi_float(), shares, &operation.request), "MPI_Iallgatherv",
      bytes: 4 * counts.reduce(0) { $0 + Int($1) })
    return operation
  }

  /// Whether an exchange is done; lets all exchanges make progress.
  public func isDone(_ operation: inout Operation) throws -> Bool {
    guard operation.request != nil else { return true }
    var flag: Int32 = 0
    try Communicator.check(
      MPI_Test(&operation.request, &flag, statex_mpi_status_ignore()), "MPI_Test", bytes: nil)
    if flag != 0 { operation.request = nil }
    return flag != 0
  }

  /// Returns when an exchange is done; calls the communicator's `whileWaiting` meanwhile.
  public func wait(_ operation: inout Operation) throws {
    guard operation.request != nil else { return }
    try communicator.wait(for: &operation.request)
    operation.request = nil
  }
}
