import CMPI

extension Communicator {
  /// The group of those ranks that name the same color, ordered by their rank here.
  ///
  /// Collective over this communicator. The group lives until MPI is finalized.
  ///
  /// - Parameter color: at least 0.
  /// - Returns: the group that this rank is in.
  /// - Throws: `CollectiveError`.
  public func split(color: Int) throws -> Communicator {
    var result: MPI_Comm?
    try Self.check(
      MPI_Comm_split(handle, Int32(color), Int32(rank), &result), "MPI_Comm_split")
    guard let group = result else {
      throw CollectiveError(call: "MPI_Comm_split", reason: "it made no group")
    }
    try Self.check(
      MPI_Comm_set_errhandler(group, statex_mpi_errors_return()), "MPI_Comm_set_errhandler")
    return try Communicator(group: group, library: library)
  }

  /// The same ranks once more, apart from all other calls; collective.
  func duplicate() throws -> MPI_Comm {
    var copy: MPI_Comm?
    try Self.check(MPI_Comm_dup(handle, &copy), "MPI_Comm_dup")
    guard let copy else { throw CollectiveError(call: "MPI_Comm_dup", reason: "no communicator") }
    return copy
  }

  /// Fills in every rank's block of `count` floats; block r belongs to rank r.
  ///
  /// - Parameters:
  ///   - values: `size * count` floats.
  ///   - count: floats of one rank.
  /// - Throws: `CollectiveError`.
  /// - Precondition: `count` fits in 32 bits.
  public func gather(inPlace values: UnsafeMutablePointer<Float>, count: Int) throws {
    try Self.check(
      MPI_Allgather(
        statex_mpi_in_place(), 0, statex_mpi_float(), values, Int32(count), statex_mpi_float(),
        handle), "MPI_Allgather", bytes: 4 * count)
  }
}
