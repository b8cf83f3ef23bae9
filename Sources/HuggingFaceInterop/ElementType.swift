import JSON
import TensorFiles

/// The element types of stored weights, narrowest to widest in what a program keeps of them.
public enum ElementType: String, Sendable, CaseIterable {
  /// Half precision: 11 bits, magnitudes up to 65504.
  case float16 = "F16"
  /// The upper half of single precision: 8 bits, the same range.
  case bfloat16 = "BF16"
  /// Single precision.
  case float32 = "F32"

  var dataType: TensorDataType {
    switch self {
    case .float16: .float16
    case .bfloat16: .bfloat16
    case .float32: .float32
    }
  }

  /// The type of a stored tensor; nil for one that is not read.
  init?(_ dataType: TensorDataType) {
    guard let type = Self.allCases.first(where: { $0.dataType == dataType }) else { return nil }
    self = type
  }

  /// PyTorch's name, as in `torch_dtype`.
  public var torchName: String {
    switch self {
    case .float16: "float16"
    case .bfloat16: "bfloat16"
    case .float32: "float32"
    }
  }
}

/// In which type each of a model's tensors is stored.
public struct ElementTypes: Sendable, Equatable {
  /// Everything in single precision: an import gives back the same bits.
  public static let float32 = ElementTypes(.float32)
  /// Everything rounded to bfloat16, to nearest, ties to even.
  public static let bfloat16 = ElementTypes(.bfloat16)
  /// Everything rounded to half precision, to nearest, ties to even.
  public static let float16 = ElementTypes(.float16)

  /// The type of most elements: that of tensors without one of their own, and what `config.json` says.
  public let prevailing: ElementType
  private let exceptions: [String: ElementType]

  /// One type for everything.
  public init(_ type: ElementType) {
    prevailing = type
    exceptions = [:]
  }

  /// The types of tensors of these names and sizes.
  init(_ tensors: [(name: String, count: Int, type: ElementType)]) {
    var counts: [ElementType: Int] = [:]
    for tensor in tensors { counts[tensor.type, default: 0] += tensor.count }
    let prevailing =
      ElementType.allCases.max { counts[$0, default: 0] < counts[$1, default: 0] } ?? .float32
    self.prevailing = prevailing
    exceptions = Dictionary(
      tensors.filter { $0.type != prevailing }.map { ($0.name, $0.type) },
      uniquingKeysWith: { first, _ in first })
  }

  /// The type of a parameter.
  public subscript(parameter: String) -> ElementType { exceptions[parameter] ?? prevailing }

  /// `bfloat16`, or `bfloat16 (14 tensors float32)`.
  public var description: String {
    let others = ElementType.allCases.compactMap { type -> String? in
      let count = exceptions.values.count { $0 == type }
      return count == 0
        ? nil : "\(count) tensor\(count == 1 ? "" : "s") \(type.torchName)"
    }
    return others.isEmpty
      ? prevailing.torchName : "\(prevailing.torchName) (\(others.joined(separator: ", ")))"
  }
}
