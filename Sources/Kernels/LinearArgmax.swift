// The most likely token of each row that counts; logits exist for one block of rows at a time, as in
// `linearCrossEntropy`.

/// `predictions[r] = argmax_v (hidden weight^T)[r, v]` for the rows whose weight is not 0.
///
/// Of equal logits the first wins; a row whose logits hold a NaN gives -1, which is no token.
///
/// - Parameters:
///   - hidden: `[R, D]`.
///   - weight: `[V, D]`.
///   - weights: `[R]`; rows of weight 0 cost nothing.
///   - predictions: `[R]`, overwritten; -1 where the weight is 0.
///   - scratch: `dims.scratchCount` floats.
///   - dims: R, D and V.
public func linearArgmax(
  _ hidden: Floats, weight: Floats, counting weights: UnsafePointer<Float>,
  into predictions: UnsafeMutablePointer<Int32>, scratch: Floats, dims: LinearCrossEntropyDims
) {
  let list = dims.rowList(scratch)
  var counted = 0
  for row in 0..<dims.rows {
    predictions[row] = -1
    if weights[row] != 0 {
      list[counted] = Int32(row)
      counted += 1
    }
  }
  var first = 0
  while first < counted {
    let count = min(LinearCrossEntropyDims.blockRows, counted - first)
    let rows = list + first
    let x = gatherRows(hidden, scratch: scratch, dims: dims, rows: rows, count: count)
    let logits = blockLogits(x, weight: weight, scratch: scratch, dims: dims)
    parallelFor(count, (logits, rows, predictions)) { job, i in
      let (logits, rows, predictions) = job
      predictions[Int(rows[i])] = argmax(logits.row(i), count: logits.columns).map(Int32.init) ?? -1
    }
    first += count
  }
}

/// The first index of the largest of `count` floats; nil if any is NaN or there is none.
public func argmax(_ x: UnsafePointer<Float>, count: Int) -> Int? {
  let largest = maximum(x, count)
  for i in 0..<count where x[i] == largest { return i }
  return nil
}
