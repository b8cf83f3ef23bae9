import Kernels
import TensorStorage
import Testing

/// Products, column sums and the copies around them.
@Suite("matrix product", .serialized)
struct MatrixProductTests {
  static let shapes = [
    [1, 1, 1], [63, 65, 100], [65, 1, 63], [1, 100, 65], [100, 63, 1], [300, 17, 290],
  ]

  @Test("all transpositions, into and accumulating", arguments: shapes)
  func products(_ shape: [Int]) {
    let (m, k, n) = (shape[0], shape[1], shape[2])
    let (a, b, before) = (normals(m * k, "a"), normals(k * n, "b"), normals(m * n, "c"))
    let expected = naiveProduct(a.doubles, b.doubles, shape)
    let added = zip(expected, before.doubles).map(+)
    for (ta, tb) in [(false, false), (false, true), (true, false), (true, true)] {
      let results = onAnyThreads {
        let ga = Guarded(stored(a, m, k, transposed: ta))
        let gb = Guarded(stored(b, k, n, transposed: tb))
        let x = ta ? Matrix(ga.pointer, k, m).transposed : Matrix(ga.pointer, m, k)
        let y = tb ? Matrix(gb.pointer, n, k).transposed : Matrix(gb.pointer, k, n)
        let (into, plus) = (Guarded(m * n), Guarded(before))
        matrixProduct(x, y, into: Matrix(into.pointer, m, n))
        matrixProduct(x, y, accumulatingInto: Matrix(plus.pointer, m, n))
        expectIntact(ga, gb, into, plus)
        return [into.values, plus.values]
      }
      #expect(relativeError(results[0], expected) < 1e-6, "\(ta) \(tb)")
      #expect(relativeError(results[1], added) < 1e-6, "\(ta) \(tb)")
    }
  }

  @Test("a block of columns is written and nothing beside it")
  func strided() {
    let (m, k, n, stride) = (65, 33, 17, 40)
    let (a, b) = (Guarded(normals(m * k, "a")), Guarded(normals(k * n, "b")))
    let whole = Guarded([Float](repeating: 7, count: m * stride))
    matrixProduct(
      Matrix(a.pointer, m, k), Matrix(b.pointer, k, n),
      into: Matrix(whole.pointer + 5, m, n, stride: stride))
    let dense = Guarded(m * n)
    matrixProduct(
      Matrix(a.pointer, m, k), Matrix(b.pointer, k, n), into: Matrix(dense.pointer, m, n))
    for r in 0..<m {
      for c in 0..<stride {
        let inside = c >= 5 && c < 5 + n
        #expect(
          whole.values[r * stride + c] == (inside ? dense.values[r * n + c - 5] : 7), "\(r) \(c)")
      }
    }
    expectIntact(whole, dense)
  }

  @Test("column sums", arguments: [[1, 1], [63, 65], [65, 300], [100, 63], [33, 257]])
  func columns(_ shape: [Int]) {
    let (rows, width) = (shape[0], shape[1])
    let (x, before) = (normals(rows * width, "x"), normals(width, "y"))
    let results = onAnyThreads {
      let (gx, gy) = (Guarded(x), Guarded(before))
      let scratch = Guarded(RowTiles(rows).count * width)
      columnSums(
        gx.pointer, rows: rows, width: width, scratch: scratch.pointer,
        accumulatingInto: gy.pointer)
      expectIntact(gx, gy, scratch)
      return [gy.values]
    }
    var expected = before.doubles
    for (index, value) in x.enumerated() { expected[index % width] += Double(value) }
    #expect(relativeError(results[0], expected) < 1e-6)
  }

  @Test("adding, copying and zeroing", arguments: oddSizes + [1 << 14, (1 << 15) + 3])
  func flat(_ count: Int) {
    let (x, y) = (normals(count, "x"), normals(count, "y"))
    let results = onAnyThreads {
      let (gx, sum, copied, zeroed) = (Guarded(x), Guarded(y), Guarded(count), Guarded(count))
      add(gx.pointer, count: count, accumulatingInto: sum.pointer)
      copy(gx.pointer, count: count, into: copied.pointer)
      zero(zeroed.pointer, count: count)
      expectIntact(gx, sum, copied, zeroed)
      return [sum.values, copied.values, zeroed.values]
    }
    #expect(results[0] == zip(x, y).map { $1 + $0 })
    #expect(results[1] == x)
    #expect(results[2].allSatisfy { $0 == 0 })
  }
}
