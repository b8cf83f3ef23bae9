import ErrorReporting
import Kernels
import Layers
import TensorStorage

/// Everything a segment's forward pass leaves for its backward pass, and the scratch both share.
///
/// Allocated once for the largest segment and used for every one. In debug builds the memory starts
/// as NaN, so that anything read before it is written shows.
public final class SegmentActivations {
  /// The largest segment that fits.
  public let dims: SegmentDims

  let streams: [Floats]
  let saved: [MemoryPlan]
  /// The rows that the head reads; in backward the gradient of the residual stream.
  let normed: Floats
  let finalRstd: Floats
  let nll: Floats
  /// Shared by all blocks, the head and the final norm.
  let scratch: MemoryPlan
  private let buffer: FloatBuffer

  /// Floats that `dims` needs.
  public static func count(_ model: LanguageModel, dims: SegmentDims, trains: Bool) -> Int {
    var plan = MemoryPlan.measuring()
    _ = Areas(model, dims, trains: trains, &plan)
    return plan.peak
  }

  private struct Areas {
    var streams: [Floats] = []
    var saved: [MemoryPlan] = []
    let normed, finalRstd, nll: Floats
    let scratch: MemoryPlan

    init(_ model: LanguageModel, _ dims: SegmentDims, trains: Bool, _ plan: inout MemoryPlan) {
      let stream = dims.rows * model.width
      // Without a backward pass two residual streams take turns and blocks share one area.
      let streamCount = trains ? model.blocks.count + 1 : 2
      for _ in 0..<streamCount { streams.append(plan.take(stream)) }
      let blocks = model.blockMemories(upTo: dims)
      if trains {
        for block in blocks { saved.append(plan.takePlan(block.saved)) }
      } else {
        saved.append(plan.takePlan(blocks.map(\.saved).max() ?? 0))
      }
      normed = plan.take(stream)
      finalRstd = plan.take(dims.rows)
      nll = plan.take(dims.rows)
      let head = LinearCrossEntropyDims(
        rows: dims.rows, width: model.width, vocabulary: model.vocabulary)
      let norm = RowTiles(dims.rows).count * model.width
      scratch = plan.takePlan(
        max(head.scratchCount, norm, blocks.map(\.scratch).max() ?? 0))
    }
  }

  /// Allocates for segments up to `dims`.
  ///
  /// - Parameters:
  ///   - model: the model.
  ///   - dims: the sizes.
  ///   - trains: whether backward will be called.
  public init(_ model: LanguageModel, dims: SegmentDims, trains: Bool) {
    self.dims = dims
    buffer = FloatBuffer(count: Self.count(model, dims: dims, trains: trains))
    #if DEBUG
      buffer.fill(.nan)
    #endif
    var plan = MemoryPlan(buffer.pointer, capacity: buffer.count)
    let areas = Areas(model, dims, trains: trains, &plan)
    require(plan.used == buffer.count, "\(buffer.count) floats measured and \(plan.used) taken")
    streams = areas.streams
    saved = areas.saved
    (normed, finalRstd) = (areas.normed, areas.finalRstd)
    (nll, scratch) = (areas.nll, areas.scratch)
  }

  /// Nats of each row of the segment that the head processed last, `[B, T]`.
  public var tokenNLL: UnsafePointer<Float> { UnsafePointer(nll) }
}
