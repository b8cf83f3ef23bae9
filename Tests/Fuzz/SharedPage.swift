import Foundation

/// What a batch is doing, in memory that outlives it: the input under way and what came of those before.
final class SharedPage {
  private let memory: UnsafeMutableRawBufferPointer
  private static let header = 64

  /// Maps the file at `path`, which is made if absent.
  init(_ path: String) throws {
    let size = Self.header + Mutator.longest + 1 << 16
    let descriptor = open(path, O_RDWR | O_CREAT, 0o644)
    guard descriptor >= 0, ftruncate(descriptor, off_t(size)) == 0,
      let start = mmap(nil, size, PROT_READ | PROT_WRITE, MAP_SHARED, descriptor, 0),
      start != MAP_FAILED
    else { throw POSIXError(POSIXErrorCode(rawValue: errno) ?? .EIO) }
    close(descriptor)
    memory = UnsafeMutableRawBufferPointer(start: start, count: size)
  }

  deinit { munmap(memory.baseAddress, memory.count) }

  private func number(_ place: Int) -> Int {
    memory.load(fromByteOffset: 8 * place, as: Int.self)
  }

  private func set(_ place: Int, _ value: Int) {
    memory.storeBytes(of: value, toByteOffset: 8 * place, as: Int.self)
  }

  /// The number of the input under way.
  var index: Int {
    get { number(0) }
    set { set(0, newValue) }
  }

  /// Inputs that were taken.
  var accepted: Int {
    get { number(1) }
    set { set(1, newValue) }
  }

  /// Inputs that were refused with a typed error.
  var refused: Int {
    get { number(2) }
    set { set(2, newValue) }
  }

  /// The input under way.
  var input: [UInt8] {
    get { [UInt8](memory[Self.header..<(Self.header + number(3))]) }
    set {
      let bytes = newValue.prefix(memory.count - Self.header)
      set(3, bytes.count)
      UnsafeMutableRawBufferPointer(rebasing: memory[Self.header...]).copyBytes(from: bytes)
    }
  }
}
