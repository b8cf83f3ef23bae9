import ErrorReporting
import TensorStorage

/// Matrix products of operands rounded to bf16, summed in fp32.
///
/// While `run` runs, every `matrixProduct` of the process goes through it: operands that lie in the
/// parameter arena are read from a converted mirror, others are converted first, once for a product or,
/// with `withSharedOperand`, once for several. Nothing else changes: sums, outputs and all other
/// arithmetic are fp32.
public final class BFloat16Products {
  /// The products in use; nil: fp32.
  private(set) nonisolated(unsafe) static var current: BFloat16Products?

  /// What multiplies.
  public let backEnd: BFloat16BackEnd

  private let parameters: FloatBuffer
  private let mirror: FloatBuffer
  private var operands: [FloatBuffer]
  private var isSharing = false
  private let oneDNN: OneDNNProducts?

  /// Which conversion buffer.
  private enum Slot: Int, CaseIterable {
    case left, right, shared
  }

  /// Allocates the mirror and the buffers of converted operands.
  ///
  /// - Parameters:
  ///   - backEnd: what multiplies.
  ///   - parameters: the arena of weights.
  ///   - operandCount: elements of the largest operand that is not a weight; a larger one makes its
  ///     buffer grow.
  public init(_ backEnd: BFloat16BackEnd, parameters: FloatBuffer, operandCount: Int) {
    self.backEnd = backEnd
    self.parameters = parameters
    mirror = FloatBuffer(count: Self.floats(parameters.count, backEnd))
    operands = Slot.allCases.map { _ in FloatBuffer(count: Self.floats(operandCount, backEnd)) }
    switch backEnd {
    case .portable: oneDNN = nil
    case .oneDNN: oneDNN = OneDNNProducts(operands: .bf16)
    case .oneDNNWidened: oneDNN = OneDNNProducts(operands: .fp32)
    }
  }

  private static func floats(_ elements: Int, _ backEnd: BFloat16BackEnd) -> Int {
    (elements * backEnd.elementBytes + 3) / 4
  }

  /// Floats of memory: the mirror of the weights, and the buffers of converted operands.
  public static func memory(
    _ backEnd: BFloat16BackEnd, parameterCount: Int, operandCount: Int
  ) -> (mirror: Int, operands: Int) {
    (floats(parameterCount, backEnd), Slot.allCases.count * floats(operandCount, backEnd))
  }

  /// Converts all weights; to be called when they have changed, before the next product.
  public func convertWeights() {
    let row = 1 << 14
    let whole = parameters.count / row * row
    // Elements stay where they are: the mirror has the arena's layout.
    convert(
      Matrix(parameters.pointer, whole / row, row), to: mirror.pointer,
      elementBytes: backEnd.elementBytes)
    convert(
      Matrix(parameters.pointer + whole, 1, parameters.count - whole),
      to: UnsafeMutableRawPointer(mirror.pointer) + whole * backEnd.elementBytes,
      elementBytes: backEnd.elementBytes)
  }

  /// Runs `body` with this in place of fp32 products, and returns what it returns.
  public func run<Result>(_ body: () throws -> Result) rethrows -> Result {
    require(Self.current == nil, "bf16 products are in use already")
    Self.current = self
    defer { Self.current = nil }
    return try body()
  }

  func product(_ a: Matrix, _ b: Matrix, _ c: Matrix, accumulate: Bool) {
    let (a, b) = (operand(a, .left), operand(b, .right))
    if let oneDNN {
      oneDNN.product(a, b, c, accumulate: accumulate)
    } else {
      tiledProduct(a.widened, b.widened, c, accumulate: accumulate)
    }
  }

  func share<Result>(_ matrix: Matrix, _ body: (Matrix) -> Result) -> Result {
    guard !isSharing else { return body(matrix) }
    isSharing = true
    defer { isSharing = false }
    var shared = matrix
    shared.converted = operand(matrix, .shared).pointer
    return body(shared)
  }

  /// The mirror's part, the shared conversion, or a conversion made now.
  private func operand(_ matrix: Matrix, _ slot: Slot) -> ConvertedMatrix {
    let bytes = backEnd.elementBytes
    let offset = matrix.pointer - parameters.pointer
    if offset >= 0 && offset < parameters.count {
      return ConvertedMatrix(
        pointer: UnsafeMutableRawPointer(mirror.pointer) + offset * bytes, rows: matrix.rows,
        columns: matrix.columns, stride: matrix.stride, isTransposed: matrix.isTransposed,
        elementBytes: bytes)
    }
    var pointer = matrix.converted
    let isShared = pointer != nil
    if pointer == nil {
      let target = buffer(slot, count: matrix.rows * matrix.columns)
      convert(matrix, to: target, elementBytes: bytes)
      pointer = target
    }
    guard let pointer else { fatalError("a pointer was just set") }
    // A shared operand was converted as it was stored when it was shared.
    let isTransposed = isShared && matrix.isTransposed
    return ConvertedMatrix(
      pointer: pointer, rows: matrix.rows, columns: matrix.columns,
      stride: isTransposed ? matrix.rows : matrix.columns, isTransposed: isTransposed,
      elementBytes: bytes)
  }

  private func buffer(_ slot: Slot, count: Int) -> UnsafeMutableRawPointer {
    let floats = Self.floats(count, backEnd)
    if operands[slot.rawValue].count < floats {
      operands[slot.rawValue] = FloatBuffer(count: floats)
    }
    return UnsafeMutableRawPointer(operands[slot.rawValue].pointer)
  }
}

/// Runs `body` with an operand that several products in it read: where products convert their operands,
/// it is converted once.
///
/// - Parameters:
///   - matrix: a whole matrix, not transposed, whose elements `body` does not change.
///   - body: takes the same matrix, marked as converted.
/// - Returns: what `body` returns.
public func withSharedOperand<Result>(_ matrix: Matrix, _ body: (Matrix) -> Result) -> Result {
  require(!matrix.isTransposed, "a shared operand is not transposed")
  return BFloat16Products.current?.share(matrix, body) ?? body(matrix)
}
