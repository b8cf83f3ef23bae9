import COneDNN
import ErrorReporting
import TensorStorage

/// Matrix products through oneDNN, one single-threaded call for each tile.
///
/// A primitive is made for every shape at its first use and kept. The type of the operands is a
/// parameter: the same code runs in fp32 on any processor and in bf16 where oneDNN can.
final class OneDNNProducts {
  /// Numbers in the operands.
  enum Operands {
    case bf16, fp32

    fileprivate var type: dnnl_data_type_t { self == .bf16 ? dnnl_bf16 : dnnl_f32 }
  }

  private let operands: Operands
  private let engine: dnnl_engine_t
  private var primitives: [Shape: Primitive] = [:]
  private var threads: [ThreadResources] = []

  /// oneDNN's version, for example `2.6.3`.
  static var version: String {
    guard let version = dnnl_version()?.pointee else { return "of unknown version" }
    return "\(version.major).\(version.minor).\(version.patch)"
  }

  /// Whether oneDNN multiplies bf16 operands on this processor.
  static func supportsBFloat16() -> Bool {
    let shape = Shape(
      rows: 64, inner: 64, columns: 64, strides: (64, 64, 64), transposed: (false, false),
      accumulate: false)
    statex_dnnl_stay_on_this_thread()
    var engine: dnnl_engine_t?
    guard dnnl_engine_create(&engine, dnnl_cpu, 0) == dnnl_success, let engine else { return false }
    defer { dnnl_engine_destroy(engine) }
    return (try? Primitive(shape, .bf16, engine)) != nil
  }

  init(operands: Operands) {
    self.operands = operands
    statex_dnnl_stay_on_this_thread()
    var engine: dnnl_engine_t?
    require(dnnl_engine_create(&engine, dnnl_cpu, 0), "dnnl_engine_create")
    guard let engine else { fatalError("oneDNN has no processor engine") }
    self.engine = engine
  }

  deinit {
    primitives = [:]
    threads = []
    dnnl_engine_destroy(engine)
  }

  /// `c = a b`, or `c += a b`, on all threads; tiles as in fp32.
  func product(_ a: ConvertedMatrix, _ b: ConvertedMatrix, _ c: Matrix, accumulate: Bool) {
    let grid = TileGrid(rows: c.rows, columns: c.columns)
    let count = ThreadPool.shared.threadCount
    while threads.count < count { threads.append(ThreadResources(engine)) }
    // The last row and the last column of tiles may be smaller: four shapes at most.
    let heights = (min(grid.tileRows, c.rows), c.rows - (grid.down - 1) * grid.tileRows)
    let widths = (
      min(grid.tileColumns, c.columns), c.columns - (grid.across - 1) * grid.tileColumns
    )
    func tile(_ rows: Int, _ columns: Int) -> Unmanaged<Primitive> {
      let shape = Shape(
        rows: rows, inner: a.columns, columns: columns, strides: (a.stride, b.stride, c.stride),
        transposed: (a.isTransposed, b.isTransposed), accumulate: accumulate)
      return Unmanaged.passUnretained(primitive(shape, threads: count))
    }
    let tiles = (
      tile(heights.0, widths.0), tile(heights.0, widths.1), tile(heights.1, widths.0),
      tile(heights.1, widths.1)
    )
    threads.withUnsafeBufferPointer { threads in
      parallelFor(count, (a, b, c, grid, tiles, threads, count)) { job, thread in
        let (a, b, c, grid, tiles, threads, count) = job
        for tile in (thread * grid.count / count)..<((thread + 1) * grid.count / count) {
          let (rows, columns) = grid[tile]
          let isLastRow = rows.upperBound == c.rows
          let isLastColumn = columns.upperBound == c.columns
          let primitive =
            isLastRow
            ? (isLastColumn ? tiles.3 : tiles.2) : (isLastColumn ? tiles.1 : tiles.0)
          primitive._withUnsafeGuaranteedRef {
            $0.run(
              a.row(rows.lowerBound), b.column(columns.lowerBound),
              c.row(rows.lowerBound) + columns.lowerBound, thread: thread, threads[thread])
          }
        }
      }
    }
  }

  /// The primitive of that shape, made at its first use, with room for `threads` threads.
  private func primitive(_ shape: Shape, threads count: Int) -> Primitive {
    let primitive: Primitive
    if let known = primitives[shape] {
      primitive = known
    } else {
      statex_dnnl_stay_on_this_thread()
      do {
        primitive = try Primitive(shape, operands, engine)
      } catch {
        fatalError("oneDNN cannot multiply \(shape): status \(error.status.rawValue)")
      }
      primitives[shape] = primitive
    }
    if primitive.threadCount < count {
      primitive.prepare(threads: count, engine)
      for thread in threads { thread.reserve(primitive.scratchBytes) }
    }
    return primitive
  }
}

/// Everything that decides about a primitive.
private struct Shape: Hashable {
  let rows, inner, columns: Int
  let aStride, bStride, cStride: Int
  let aTransposed, bTransposed, accumulate: Bool

  init(
    rows: Int, inner: Int, columns: Int, strides: (Int, Int, Int), transposed: (Bool, Bool),
    accumulate: Bool
  ) {
    (self.rows, self.inner, self.columns) = (rows, inner, columns)
    (aStride, bStride, cStride) = strides
    (aTransposed, bTransposed) = transposed
    self.accumulate = accumulate
  }
}

private struct OneDNNError: Error {
  let status: dnnl_status_t
}

/// What a thread needs to run primitives.
private final class ThreadResources {
  let stream: dnnl_stream_t
  private(set) var scratch = FloatBuffer(count: 0)

  init(_ engine: dnnl_engine_t) {
    var stream: dnnl_stream_t?
    require(
      dnnl_stream_create(&stream, engine, dnnl_stream_default_flags.rawValue), "dnnl_stream_create")
    guard let stream else { fatalError("oneDNN made no stream") }
    self.stream = stream
  }

  deinit { dnnl_stream_destroy(stream) }

  func reserve(_ bytes: Int) {
    if scratch.count * 4 < bytes { scratch = FloatBuffer(count: (bytes + 3) / 4) }
  }
}

/// A product of one shape.
private final class Primitive {
  let scratchBytes: Int
  private let primitive: dnnl_primitive_t
  private var descriptors: [dnnl_memory_desc_t]
  /// Four memory objects for each thread: a, b, c and scratch.
  private var memories = UnsafeMutablePointer<dnnl_memory_t?>.allocate(capacity: 0)
  private(set) var threadCount = 0

  init(
    _ shape: Shape, _ operands: OneDNNProducts.Operands, _ engine: dnnl_engine_t
  ) throws(OneDNNError) {
    var request = statex_dnnl_shape(
      m: dnnl_dim_t(shape.rows), k: dnnl_dim_t(shape.inner), n: dnnl_dim_t(shape.columns),
      a_stride: dnnl_dim_t(shape.aStride), b_stride: dnnl_dim_t(shape.bStride),
      c_stride: dnnl_dim_t(shape.cStride), a_transposed: shape.aTransposed ? 1 : 0,
      b_transposed: shape.bTransposed ? 1 : 0, accumulate: shape.accumulate ? 1 : 0,
      operands: operands.type)
    var primitive: dnnl_primitive_t?
    descriptors = [dnnl_memory_desc_t](repeating: dnnl_memory_desc_t(), count: 4)
    let status = statex_dnnl_product(&primitive, &descriptors, &request, engine)
    guard status == dnnl_success, let primitive else { throw OneDNNError(status: status) }
    self.primitive = primitive
    scratchBytes = dnnl_memory_desc_get_size(&descriptors[3])
  }

  deinit {
    removeThreads()
    memories.deallocate()
    dnnl_primitive_destroy(primitive)
  }

  private func removeThreads() {
    for index in 0..<(4 * threadCount) { dnnl_memory_destroy(memories[index]) }
  }

  func prepare(threads count: Int, _ engine: dnnl_engine_t) {
    removeThreads()
    memories.deallocate()
    memories = .allocate(capacity: 4 * count)
    memories.initialize(repeating: nil, count: 4 * count)
    for index in 0..<(4 * count) {
      require(
        statex_dnnl_memory(&memories[index], &descriptors[index % 4], engine), "dnnl_memory_create")
    }
    threadCount = count
  }

  func run(
    _ a: UnsafeMutableRawPointer, _ b: UnsafeMutableRawPointer, _ c: Floats, thread: Int,
    _ resources: ThreadResources
  ) {
    require(
      statex_dnnl_run(
        primitive, resources.stream, memories + 4 * thread, a, b, c, resources.scratch.pointer),
      "dnnl_primitive_execute")
  }
}

/// oneDNN fails when it has no memory or is used wrongly: nothing that training could go on after.
private func require(_ status: dnnl_status_t, _ call: String) {
  if status != dnnl_success { fatalError("\(call) failed with status \(status.rawValue)") }
}
