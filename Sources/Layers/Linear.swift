import Kernels
import ReferenceKernels
import TensorStorage

/// A linear map of every row, `y = x W^T + b`.
public struct Linear {
  /// `[outputs, inputs]`, or a larger tensor that holds the map's rows.
  public let weight: ParameterSlot
  /// `[outputs]`, or nil.
  public let bias: ParameterSlot?
  /// The rows of the tensors that are this map's.
  let rows: Range<Int>
  /// Numbers that go in.
  let inputs: Int

  /// Numbers that come out.
  public var outputs: Int { rows.count }

  private func matrix(_ arena: Floats) -> Matrix {
    Matrix(arena + weight.offset + rows.lowerBound * inputs, outputs, inputs)
  }

  private func biasRows(_ arena: Floats) -> Floats? {
    bias.map { arena + $0.offset + rows.lowerBound }
  }

  /// Writes the map of `x` to `y`.
  public func forward(_ x: Matrix, into y: Floats, _ context: BlockContext) {
    context.run {
      matrixProduct(
        x, matrix(context.parameters).transposed, into: Matrix(y, x.rows, outputs))
      if let bias = biasRows(context.parameters) {
        addBias(bias, accumulatingInto: y, rows: x.rows, width: outputs)
      }
    }
  }

  /// Adds the map of `x` to `y`.
  public func forward(_ x: Matrix, accumulatingInto y: Floats, _ context: BlockContext) {
    context.run {
      if let bias = biasRows(context.parameters) {
        addBias(bias, accumulatingInto: y, rows: x.rows, width: outputs)
      }
      matrixProduct(
        x, matrix(context.parameters).transposed, accumulatingInto: Matrix(y, x.rows, outputs))
    }
  }

  /// Gradients: those of weight and bias are added to the arena, the input's to `dx` or written there.
  ///
  /// In a frozen block `x` is not read. It is read before `dx` is written.
  ///
  /// - Parameters:
  ///   - dy: `[R, outputs]`.
  ///   - x: `[R, inputs]`.
  ///   - dx: `[R, inputs]`; unless added to, it may be `x`'s own memory.
  ///   - accumulate: whether `dx` is added to.
  ///   - context: the call.
  public func backward(
    _ dy: Floats, x: Matrix, into dx: Floats, accumulate: Bool = false,
    _ context: inout BlockContext
  ) {
    let (dy, dx) = (Matrix(dy, x.rows, outputs), Matrix(dx, x.rows, inputs))
    context.run {
      if let gradients = context.gradients {
        matrixProduct(dy.transposed, x, accumulatingInto: matrix(gradients))
      }
      if accumulate {
        matrixProduct(dy, matrix(context.parameters), accumulatingInto: dx)
      } else {
        matrixProduct(dy, matrix(context.parameters), into: dx)
      }
    }
    if let dbias = context.gradients.flatMap(biasRows) {
      context.addColumnSums(dy.pointer, width: outputs, accumulatingInto: dbias)
    }
  }

  /// The map in `Double`.
  public func reference(_ x: [Double], _ tensor: TensorValues) -> [Double] {
    let weight = tensor(weight)[(rows.lowerBound * inputs)..<(rows.upperBound * inputs)]
    let y = linear(x, Array(weight), columns: inputs)
    guard let bias else { return y }
    let values = tensor(bias)
    return y.indices.map { y[$0] + values[rows.lowerBound + $0 % outputs] }
  }
}

/// A model's tensors in `Double`, by slot.
public typealias TensorValues = (ParameterSlot) -> [Double]

extension BlockContext {
  /// `y[j] += sum over rows of x[row][j]`: the gradient of a bias.
  mutating func addColumnSums(_ x: Floats, width: Int, accumulatingInto y: Floats) {
    let mark = scratch.used
    let partials = scratch.take(RowTiles(dims.rows).count * width)
    run {
      columnSums(x, rows: dims.rows, width: width, scratch: partials, accumulatingInto: y)
    }
    scratch.rewind(to: mark)
  }
}
