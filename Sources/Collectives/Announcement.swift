import CMPI

/// A number that any rank may tell all others at any time, once: nobody waits for it.
///
/// It travels on a communicator of its own, so it meets no other call. Several ranks may announce
/// something; whoever asks hears of one. What nobody has asked for when MPI is left is lost.
public final class Announcement {
  private let communicator: MPI_Comm
  private let others: [Int32]
  /// The number, and where those of others arrive; MPI reads the first until it is sent.
  private let numbers: UnsafeMutablePointer<Int64>
  private var isMade = false

  /// Makes the communicator; collective.
  ///
  /// MPI frees it when it is left.
  ///
  /// - Throws: `CollectiveError`.
  public init(_ communicator: Communicator) throws {
    self.communicator = try communicator.duplicate()
    others = (0..<Int32(communicator.size)).filter { $0 != communicator.rank }
    numbers = .allocate(capacity: 2)
    numbers.initialize(repeating: 0, count: 2)
  }

  // Its memory stays with MPI, which may still be sending.

  /// Tells all other ranks, once; later calls do nothing.
  ///
  /// - Throws: `CollectiveError`.
  public func make(_ number: Int) throws {
    guard !isMade else { return }
    isMade = true
    numbers[0] = Int64(number)
    for rank in others {
      var request: MPI_Request?
      try Communicator.check(
        MPI_Isend(numbers, 1, statex_mpi_int64(), rank, 0, communicator, &request), "MPI_Isend")
      try Communicator.check(MPI_Request_free(&request), "MPI_Request_free")
    }
  }

  /// What another rank announced and was not asked for yet; nil if there is nothing.
  ///
  /// - Throws: `CollectiveError`.
  public func received() throws -> Int? {
    guard !others.isEmpty else { return nil }
    var isThere: Int32 = 0
    try Communicator.check(
      MPI_Iprobe(
        statex_mpi_any_source(), 0, communicator, &isThere, statex_mpi_status_ignore()),
      "MPI_Iprobe", bytes: nil)
    guard isThere != 0 else { return nil }
    try Communicator.check(
      MPI_Recv(
        numbers + 1, 1, statex_mpi_int64(), statex_mpi_any_source(), 0, communicator,
        statex_mpi_status_ignore()), "MPI_Recv")
    return Int(numbers[1])
  }
}
