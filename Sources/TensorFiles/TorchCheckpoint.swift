import Files
import JSON

/// The tensors of a checkpoint that `torch.save` wrote: a state dictionary in a zip archive, as of
/// PyTorch 1.6.
///
/// The dictionary is a pickle, which is read as data (`PickleReader`). Tensors are parts of storages, an
/// entry of the archive each; several tensors may share one.
public struct TorchCheckpoint: Sendable {
  /// One tensor.
  public struct Tensor: Sendable, Equatable {
    /// Its key in the dictionary.
    public let name: String
    /// The type of its elements.
    public let dataType: TensorDataType
    /// Row-major shape; empty for a scalar.
    public let shape: [Int]
    /// Where its bytes lie in the file; tensors may share them.
    public let range: Range<Int>
  }

  /// The tensors in the dictionary's order.
  public let tensors: [Tensor]

  /// Reads the directory and the dictionary of a file, no weights.
  ///
  /// - Throws: `.invalid` for a file that is no such archive, or that holds anything but tensors whose
  ///   elements stand in row-major order; names the tensor.
  public init(_ file: MappedFile) throws(FileError) {
    try file.requireFetched()
    let archive = try ZipArchive(file)
    let folder = try Self.folder(of: archive, file)
    if let order = archive.entries[folder + "byteorder"] {
      guard try file.slice(order, field: "byteorder").elementsEqual("little".utf8) else {
        throw .invalid(path: file.path, field: "byteorder", reason: "it is not 'little'")
      }
    }
    let pickle = try file.slice(archive.entries[folder + Self.pickleName] ?? 0..<0, field: "pickle")
    var tensors: [Tensor] = []
    for (name, tensor) in try PickleReader.tensors(pickle, source: file.path) {
      func failure(_ reason: String) -> FileError {
        .invalid(path: file.path, field: "tensor \(abbreviated(name))", reason: reason)
      }
      let storage = tensor.storage
      guard let data = archive.entries[folder + "data/" + storage.key] else {
        throw failure("the archive does not hold its storage '\(abbreviated(storage.key))'")
      }
      guard data.count / storage.type.byteCount == storage.count else {
        throw failure(
          "its storage has \(data.count) bytes, not those of \(storage.count) elements of"
            + " \(storage.type.rawValue)")
      }
      guard let elements = Self.elements(of: tensor) else {
        throw failure("it is a view whose elements are not in order; save it with .contiguous()")
      }
      guard elements.upperBound <= storage.count else {
        throw failure("its elements lie outside its storage, which has \(storage.count)")
      }
      let width = storage.type.byteCount
      let start = data.lowerBound + elements.lowerBound * width
      tensors.append(
        Tensor(
          name: name, dataType: storage.type, shape: tensor.shape,
          range: start..<(start + elements.count * width)))
    }
    self.tensors = tensors
  }

  private static let pickleName = "data.pkl"

  /// The archive's one folder, with a slash.
  private static func folder(
    of archive: ZipArchive, _ file: MappedFile
  ) throws(FileError) -> String {
    let folders = archive.entries.keys.compactMap { name -> String? in
      guard name.hasSuffix("/" + pickleName) else { return nil }
      let folder = name.dropLast(pickleName.count)
      return folder.dropLast().contains("/") ? nil : String(folder)
    }
    guard let folder = folders.first, folders.count == 1 else {
      throw .invalid(
        path: file.path, field: "contents",
        reason: "it does not hold one folder with a \(pickleName), as torch.save writes it")
    }
    return folder
  }

  /// Which elements of its storage a tensor is; nil when they are not in row-major order, or are more
  /// than can be counted.
  private static func elements(of tensor: PickleReader.Tensor) -> Range<Int>? {
    guard !tensor.shape.contains(0) else { return 0..<0 }
    var count = 1
    for (size, stride) in zip(tensor.shape, tensor.strides).reversed() {
      guard size == 1 || stride == count else { return nil }
      let (product, overflows) = count.multipliedReportingOverflow(by: size)
      guard !overflows else { return nil }
      count = product
    }
    let (end, overflows) = tensor.offset.addingReportingOverflow(count)
    return overflows ? nil : tensor.offset..<end
  }
}
