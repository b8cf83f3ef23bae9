import CMPI
import ErrorReporting
import Foundation

/// An MPI call that failed.
public struct CollectiveError: UserFacingError {
  /// The call, for example `MPI_Alltoallv`.
  public let call: String
  /// MPI's message.
  public let reason: String

  /// One line for the user.
  public var description: String { "\(call) failed: \(reason)" }

  /// Internal, since no user input makes MPI fail.
  public var exitCode: Int32 { 70 }
}

/// The ranks of this run, or a group of them.
///
/// MPI is called only here and in the extensions in this room. Without a launcher the communicator has
/// one rank and makes the same calls. Every method is collective: all ranks must call it, in the same
/// order, from one thread.
public final class Communicator {
  /// This process's number in the group, 0 ..< size.
  public let rank: Int
  /// Number of processes in the group.
  public let size: Int
  /// Version string of the MPI library.
  public let library: String

  /// Called again and again on the calling thread while a call waits for ranks that are not as far.
  ///
  /// So do `barrier`, `maximum` of whole numbers, and what is not blocking. Set on all ranks or on none, and
  /// quick: it may send and ask (`Announcement`), but not wait for other ranks.
  public var whileWaiting: (() -> Void)?

  let handle: MPI_Comm

  /// Initialises MPI for the process.
  ///
  /// - Throws: `CollectiveError` when MPI cannot start.
  public init() throws {
    var provided: Int32 = 0
    try Self.check(
      MPI_Init_thread(nil, nil, Int32(MPI_THREAD_FUNNELED), &provided), "MPI_Init_thread")
    try Self.requireThreads(provided: provided)
    let world: MPI_Comm = statex_mpi_comm_world()
    handle = world
    try Self.check(
      MPI_Comm_set_errhandler(world, statex_mpi_errors_return()), "MPI_Comm_set_errhandler")
    (rank, size) = try Self.place(in: world)
    library = Self.libraryVersion()
  }

  /// Wraps a group of ranks that return errors.
  init(group: MPI_Comm, library: String) throws {
    handle = group
    (rank, size) = try Self.place(in: group)
    self.library = library
  }

  private static func place(in group: MPI_Comm) throws -> (rank: Int, size: Int) {
    var (rank, size): (Int32, Int32) = (0, 0)
    try check(MPI_Comm_rank(group, &rank), "MPI_Comm_rank")
    try check(MPI_Comm_size(group, &size), "MPI_Comm_size")
    return (Int(rank), Int(size))
  }

  private static func libraryVersion() -> String {
    withUnsafeTemporaryAllocation(of: CChar.self, capacity: Int(MPI_MAX_LIBRARY_VERSION_STRING)) {
      buffer in
      var length: Int32 = 0
      guard let base = buffer.baseAddress, MPI_Get_library_version(base, &length) == MPI_SUCCESS
      else { return "unknown MPI" }
      return String(cString: base)
    }
  }

  /// Refuses an MPI library that does not allow threads beside the one that calls it.
  package static func requireThreads(provided: Int32) throws {
    guard provided < Int32(MPI_THREAD_FUNNELED) else { return }
    throw CollectiveError(
      call: "MPI_Init_thread",
      reason: "this MPI library allows no threads in the process (level \(provided)); use one that "
        + "provides MPI_THREAD_FUNNELED")
  }

  /// For tests: makes calls fail with a reason, nil for those that do not.
  package nonisolated(unsafe) static var fault: ((_ call: String) -> String?)?

  /// Makes an MPI call and turns its return code into an error; every call goes through here.
  ///
  /// - Parameters:
  ///   - code: the call.
  ///   - call: its name.
  ///   - bytes: what it sends from this rank; nil for a call that only asks, which is no exchange.
  /// - Throws: `CollectiveError`.
  static func check(
    _ code: @autoclosure () -> Int32, _ call: StaticString, bytes: Int? = 0
  ) throws {
    if let reason = fault?("\(call)") { throw CollectiveError(call: "\(call)", reason: reason) }
    if let bytes { CallRecord.begin(call, bytes: bytes) }
    let code = code()
    if bytes != nil { CallRecord.end() }
    guard code != MPI_SUCCESS else { return }
    let reason = withUnsafeTemporaryAllocation(
      of: CChar.self, capacity: Int(MPI_MAX_ERROR_STRING)
    ) { buffer -> String in
      var length: Int32 = 0
      guard let base = buffer.baseAddress, MPI_Error_string(code, base, &length) == MPI_SUCCESS
      else { return "error \(code)" }
      return String(cString: base)
    }
    throw CollectiveError(call: "\(call)", reason: reason)
  }

  /// Finalizes MPI; nothing may be called afterwards, by any group.
  public func finalize() throws {
    try Self.check(MPI_Finalize(), "MPI_Finalize")
  }

  /// Ends every rank of the run at once, including those outside the group, with that exit code.
  ///
  /// For errors that only one rank knows about.
  public func abort(_ code: Int32) -> Never {
    MPI_Abort(statex_mpi_comm_world(), code)
    fatalError("MPI_Abort returned")
  }

  /// Waits for all ranks, and calls `whileWaiting` meanwhile.
  public func barrier() throws {
    var request: MPI_Request?
    try Self.check(MPI_Ibarrier(handle, &request), "MPI_Ibarrier")
    try wait(for: &request)
  }

  /// The largest of all ranks' values.
  ///
  /// A rank that waits long for the others leaves the processor to them.
  public func maximum(_ value: Int) throws -> Int {
    if whileWaiting != nil && size > 1 { return try patientMaximum(value) }
    var (mine, result) = (Int64(value), Int64(0))
    try Self.check(
      MPI_Allreduce(&mine, &result, 1, statex_mpi_int64(), statex_mpi_max(), handle),
      "MPI_Allreduce")
    return Int(result)
  }

  /// The largest of all ranks' values.
  public func maximum(_ value: Double) throws -> Double {
    var (mine, result) = (value, 0.0)
    try Self.check(
      MPI_Allreduce(&mine, &result, 1, statex_mpi_double(), statex_mpi_max(), handle),
      "MPI_Allreduce")
    return result
  }

  /// Sums `count` floats over ranks in MPI's own order, which may depend on their number.
  public func sum(inPlace values: UnsafeMutablePointer<Float>, count: Int) throws {
    try inPieces(count) { first, length in
      try Self.check(
        MPI_Allreduce(
          statex_mpi_in_place(), values + first, Int32(length), statex_mpi_float(),
          statex_mpi_sum(), handle), "MPI_Allreduce", bytes: 4 * length)
    }
  }

  /// Fills in every rank's block of `count` doubles; block r belongs to rank r.
  ///
  /// - Parameters:
  ///   - values: `size * count` doubles.
  ///   - count: doubles of one rank.
  /// - Throws: `CollectiveError`.
  public func gather(inPlace values: UnsafeMutablePointer<Double>, count: Int) throws {
    try Self.check(
      MPI_Allgather(
        statex_mpi_in_place(), 0, statex_mpi_double(), values, Int32(count), statex_mpi_double(),
        handle), "MPI_Allgather", bytes: 8 * count)
  }

  /// Every rank's bytes, ordered by rank, on every rank.
  ///
  /// Allocates; for rare events.
  public func gather(_ bytes: [UInt8]) throws -> [[UInt8]] {
    let longest = try maximum(bytes.count)
    var padded = bytes + [UInt8](repeating: 0, count: longest - bytes.count)
    padded.append(0)
    var lengths = [Int64](repeating: 0, count: size)
    var length = Int64(bytes.count)
    try Self.check(
      MPI_Allgather(&length, 1, statex_mpi_int64(), &lengths, 1, statex_mpi_int64(), handle),
      "MPI_Allgather")
    var all = [UInt8](repeating: 0, count: size * padded.count)
    let width = Int32(padded.count)
    try Self.check(
      MPI_Allgather(padded, width, statex_mpi_byte(), &all, width, statex_mpi_byte(), handle),
      "MPI_Allgather", bytes: padded.count)
    return (0..<size).map {
      Array(all[($0 * padded.count)..<($0 * padded.count + Int(lengths[$0]))])
    }
  }

  private func patientMaximum(_ value: Int) throws -> Int {
    try withUnsafeTemporaryAllocation(of: Int64.self, capacity: 2) { numbers in
      guard let mine = numbers.baseAddress else { return value }
      let result = mine + 1
      mine.initialize(to: Int64(value))
      result.initialize(to: 0)
      var request: MPI_Request?
      try Self.check(
        MPI_Iallreduce(mine, result, 1, statex_mpi_int64(), statex_mpi_max(), handle, &request),
        "MPI_Iallreduce", bytes: 8)
      try wait(for: &request, resting: true)
      return Int(result.pointee)
    }
  }

  /// Returns when what was started is done, and calls `whileWaiting` meanwhile.
  ///
  /// - Parameters:
  ///   - request: what was started.
  ///   - resting: whether to sleep between two looks once it takes long, 1 ms at most; not for what moves
  ///     much data, which MPI only does when it is called.
  /// - Throws: `CollectiveError`.
  func wait(for request: inout MPI_Request?, resting: Bool = false) throws {
    guard let whileWaiting else {
      CallRecord.resume()
      defer { CallRecord.end() }
      return try Self.check(
        MPI_Wait(&request, statex_mpi_status_ignore()), "MPI_Wait", bytes: nil)
    }
    var (isDone, looks): (Int32, UInt32) = (0, 0)
    CallRecord.resume()
    defer { CallRecord.end() }
    while true {
      try Self.check(
        MPI_Test(&request, &isDone, statex_mpi_status_ignore()), "MPI_Test", bytes: nil)
      guard isDone == 0 else { return }
      whileWaiting()
      looks &+= 1
      if resting && looks > 1000 { usleep(min(looks / 100, 1000)) }
    }
  }

  /// MPI counts are 32-bit: long arrays go in pieces.
  func inPieces(_ count: Int, _ body: (Int, Int) throws -> Void) throws {
    let piece = 1 << 28
    var first = 0
    while first < count {
      try body(first, min(piece, count - first))
      first += piece
    }
  }
}
