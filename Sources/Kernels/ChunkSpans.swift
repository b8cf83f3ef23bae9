/// The cut of a sequence's chunks into spans, of which a recurrence's backward pass holds one at a time.
///
/// Going back over the chunks it needs the state at each chunk's start and the gradient of that at its
/// end. It first runs over all chunks and keeps the states at the starts of spans, then takes the spans
/// from last to first: states at the span's chunks again, gradients back over them, and what is inside
/// its chunks. Memory is that of one span and a state for each of the others, for up to one more pass
/// over the states; the arithmetic of each chunk, and so every bit, is that of a single span.
public struct ChunkSpans {
  /// Chunks of a sequence.
  let chunks: Int
  /// Chunks of a span, at most.
  let length: Int

  /// Chunks of a span where tasks are many.
  private static let usualLength = 8
  /// Tasks inside a span's chunks that are wanted, so that many threads share a model of one head.
  private static let wantedTasks = 16

  /// Cuts `chunks` chunks, each of which gives `tasksPerChunk` tasks.
  init(chunks: Int, tasksPerChunk: Int) {
    self.chunks = chunks
    let wanted = (Self.wantedTasks + tasksPerChunk - 1) / tasksPerChunk
    length = min(max(Self.usualLength, wanted), max(chunks, 1))
  }

  /// Number of spans.
  var count: Int { (chunks + length - 1) / length }

  /// States that are kept while a span is worked on: those at the starts of all spans but the first,
  /// whose start the caller has.
  var startCount: Int { max(count - 1, 0) }

  /// The chunks of a span.
  subscript(index: Int) -> Range<Int> {
    (index * length)..<min((index + 1) * length, chunks)
  }
}
