import TensorStorage

/// States and their gradients at the chunk boundaries of one span, and the states at the starts of all
/// spans.
public struct SpanStates {
  /// The span's chunks.
  public private(set) var span: Range<Int>
  /// The state before the span, of all sequences.
  private(set) var start: Floats

  /// States at the starts of spans but the first.
  private let starts: Floats
  /// States at the starts of the span's chunks and at its end.
  private let states: Floats
  /// Gradients of the same.
  private let dstates: Floats
  private let stateCount: Int
  private let spans: ChunkSpans

  /// Takes memory for the longest span.
  init(_ plan: inout MemoryPlan, _ spans: ChunkSpans, stateCount: Int) {
    starts = plan.take(spans.startCount * stateCount)
    states = plan.take((spans.length + 1) * stateCount)
    dstates = plan.take((spans.length + 1) * stateCount)
    (self.spans, self.stateCount) = (spans, stateCount)
    (span, start) = (0..<0, starts)
  }

  /// The same memory for span `index` of a sequence that starts with `first`.
  func of(_ index: Int, start first: Floats) -> SpanStates {
    var result = self
    result.span = spans[index]
    result.start = index == 0 ? first : start(ofSpan: index)
    return result
  }

  /// The state before a span but the first.
  @inline(__always)
  func start(ofSpan index: Int) -> Floats { starts + (index - 1) * stateCount }

  @inline(__always)
  private func offset(_ chunk: Int) -> Int { (chunk - span.lowerBound) * stateCount }

  /// The states at a chunk's start, of all sequences.
  @inline(__always)
  public func start(of chunk: Int) -> Floats { states + offset(chunk) }

  /// The states at a chunk's end.
  @inline(__always)
  public func end(of chunk: Int) -> Floats { states + offset(chunk + 1) }

  /// The gradients of the states at a chunk's start.
  @inline(__always)
  public func dstart(of chunk: Int) -> Floats { dstates + offset(chunk) }

  /// The gradients of the states at a chunk's end.
  @inline(__always)
  public func dend(of chunk: Int) -> Floats { dstates + offset(chunk + 1) }
}
