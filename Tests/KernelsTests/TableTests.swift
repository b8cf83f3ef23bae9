import Kernels
import TensorStorage
import Testing

/// Kernels that move rows: embeddings and heads shared by groups.
@Suite("embeddings and head groups", .serialized)
struct TableTests {
  @Test("embedding rows and their gradient", arguments: oddSizes, oddSizes)
  func embedding(_ rows: Int, _ width: Int) {
    let vocabulary = 13
    let (table, dy) = (normals(vocabulary * width, "table"), normals(rows * width, "dy"))
    let before = normals(vocabulary * width, "dtable")
    var random = CounterRandom(seed: 2, purpose: "tokens")
    // Token 12 never occurs; most rows repeat a token.
    let tokens = (0..<rows).map { _ in Int32(random.below(vocabulary - 1)) }
    let results = onAnyThreads {
      let (gt, gdy, y, dt) = (Guarded(table), Guarded(dy), Guarded(rows * width), Guarded(before))
      embeddingForward(tokens, table: gt.pointer, into: y.pointer, rows: rows, width: width)
      embeddingBackward(
        gdy.pointer, tokens: tokens, accumulatingInto: dt.pointer, rows: rows, width: width)
      expectIntact(gt, gdy, y, dt)
      return [y.values, dt.values]
    }
    var expected = before.doubles
    for row in 0..<rows {
      for c in 0..<width {
        #expect(results[0][row * width + c] == table[Int(tokens[row]) * width + c])
        expected[Int(tokens[row]) * width + c] += Double(dy[row * width + c])
      }
    }
    #expect(relativeError(results[1], expected) < 1e-6)
    #expect(results[1].suffix(width).elementsEqual(before.suffix(width)))
  }

  @Test("repeated heads and the sum that is their gradient", arguments: [1, 2, 3, 6], oddSizes)
  func headGroups(_ groupSize: Int, _ headDim: Int) {
    let (rows, heads) = (65, 6)
    let shared = rows * heads / groupSize * headDim
    let (x, dy) = (normals(shared, "x"), normals(rows * heads * headDim, "dy"))
    let results = onAnyThreads {
      let (gx, gdy, y, dx) = (Guarded(x), Guarded(dy), Guarded(dy.count), Guarded(shared))
      repeatHeads(
        gx.pointer, into: y.pointer, rows: rows, heads: heads, headDim: headDim,
        groupSize: groupSize)
      sumHeadGroups(
        gdy.pointer, into: dx.pointer, rows: rows, heads: heads, headDim: headDim,
        groupSize: groupSize)
      expectIntact(gx, gdy, y, dx)
      return [y.values, dx.values]
    }
    var sums = [Double](repeating: 0, count: shared)
    for (index, value) in dy.enumerated() {
      let (row, head, c) = (
        index / (heads * headDim), index / headDim % heads, index % headDim
      )
      let source = (row * (heads / groupSize) + head / groupSize) * headDim + c
      #expect(results[0][index] == x[source])
      sums[source] += Double(value)
    }
    #expect(relativeError(results[1], sums) < 1e-6)
  }
}
