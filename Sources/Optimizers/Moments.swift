import TensorStorage

/// How the optimizer's moments are stored; they are always computed in fp32.
public enum MomentPrecision: String, Sendable, CaseIterable {
  /// As computed.
  case fp32
  /// In half the memory, with stochastic rounding.
  case bf16

  /// Bytes of one moment.
  public var byteCount: Int { self == .fp32 ? 4 : 2 }
}

/// One running mean of the gradient or its square, one number for each parameter that a rank updates.
public enum Moments {
  case fp32(FloatBuffer)
  case bf16(BFloat16Buffer)

  /// `count` zeros.
  public init(count: Int, precision: MomentPrecision) {
    switch precision {
    case .fp32: self = .fp32(FloatBuffer(count: count))
    case .bf16: self = .bf16(BFloat16Buffer(count: count))
    }
  }

  /// How the numbers are stored.
  public var precision: MomentPrecision {
    switch self {
    case .fp32: .fp32
    case .bf16: .bf16
    }
  }

  /// The first number's bytes.
  public var bytes: UnsafeMutableRawPointer {
    switch self {
    case .fp32(let buffer): UnsafeMutableRawPointer(buffer.pointer)
    case .bf16(let buffer): UnsafeMutableRawPointer(buffer.pointer)
    }
  }

  /// What keeps the bytes alive.
  public var owner: AnyObject {
    switch self {
    case .fp32(let buffer): buffer
    case .bf16(let buffer): buffer
    }
  }

  /// A copy as floats, for tests and reports.
  public func array() -> [Float] {
    switch self {
    case .fp32(let buffer): buffer.array()
    case .bf16(let buffer): (0..<buffer.count).map { Float(buffer.pointer[$0]) }
    }
  }
}
