import CMPI

extension Communicator {
  /// Sums `count` doubles over ranks in MPI's own order: exact where at most one rank's is not zero.
  public func sum(inPlace values: UnsafeMutablePointer<Double>, count: Int) throws {
    try inPieces(count) { first, length in
      try Self.check(
        MPI_Allreduce(
          statex_mpi_in_place(), values + first, Int32(length), statex_mpi_double(),
          statex_mpi_sum(), handle), "MPI_Allreduce", bytes: 8 * length)
    }
  }

  /// Sums floats over ranks in MPI's own order and gives each rank its block of the sum.
  ///
  /// - Parameters:
  ///   - values: the ranks' blocks, one after the other; read.
  ///   - result: this rank's block of the sum.
  ///   - counts: floats of each rank's block.
  /// - Throws: `CollectiveError`.
  public func sum(
    _ values: UnsafePointer<Float>, scatteringInto result: UnsafeMutablePointer<Float>,
    counts: UnsafeMutableBufferPointer<Int32>
  ) throws {
    try Self.check(
      MPI_Reduce_scatter(
        values, result, counts.baseAddress, statex_mpi_float(), statex_mpi_sum(), handle),
      "MPI_Reduce_scatter", bytes: 4 * counts.reduce(0) { $0 + Int($1) })
  }
}
