import ErrorReporting
import Foundation

/// A fixed-size, 64-byte aligned block of `Float`s that lives as long as its owner.
///
/// Every parameter arena, gradient arena, optimizer moment and workspace is one of these. The memory
/// comes straight from the kernel in whole pages (transparent huge pages are asked for), so that a
/// buffer of gigabytes costs nothing until it is touched.
///
/// Not thread safe by itself: kernels write disjoint ranges.
public final class FloatBuffer {
  /// The first element; valid for `count` elements while this object lives.
  public let pointer: UnsafeMutablePointer<Float>

  /// Number of elements.
  public let count: Int

  private let mappedBytes: Int

  /// Allocates `count` elements, all zero.
  ///
  /// - Precondition: `count >= 0`. Memory that the system does not give ends the process
  ///   (`SystemResources`): sizes are checked by the plan before anything is allocated.
  public init(count: Int) {
    require(count >= 0, "a buffer cannot have \(count) elements")
    let page = 4096
    let bytes = max(count * MemoryLayout<Float>.stride, 1)
    let length = (bytes + page - 1) / page * page
    let mapped = mmap(nil, length, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0)
    guard let mapped, mapped != MAP_FAILED else {
      SystemResources.whenExhausted(
        "the system does not give \(length) bytes of memory: \(String(cString: strerror(errno))); "
          + "raise `ulimit -v` or use a machine with more")
    }
    if length >= 1 << 21 {
      // Advice only: a kernel without huge pages works the same, slower.
      let hugePages: Int32 = 14  // MADV_HUGEPAGE
      _ = madvise(mapped, length, hugePages)
    }
    self.pointer = mapped.bindMemory(to: Float.self, capacity: count)
    self.count = count
    self.mappedBytes = length
  }

  deinit {
    munmap(UnsafeMutableRawPointer(pointer), mappedBytes)
  }

  /// The elements as a mutable buffer.
  public var elements: UnsafeMutableBufferPointer<Float> {
    UnsafeMutableBufferPointer(start: pointer, count: count)
  }

  /// A copy of the elements as an array, for tests and reports.
  public func array() -> [Float] { Array(elements) }

  /// Sets every element to `value`.
  public func fill(_ value: Float) {
    elements.update(repeating: value)
  }
}
