import Files
import LanguageModels
import TensorFiles
import TensorStorage

extension WeightWriter {
  /// Creates a file as `torch.save` of a state dictionary writes it.
  ///
  /// Tensors that hold the same parameter share their storage.
  ///
  /// - Throws: `.refused` for a weight that is no number of its type, `.file`, `.interrupted`.
  func writeTorch(to path: String, _ isInterrupted: () -> Bool) throws(InteropError) {
    let tensors = shards.flatMap(\.self)
    var storages: [String: String] = [:]
    var slots: [ParameterSlot] = []
    for tensor in tensors where storages[tensor.slot.name] == nil {
      storages[tensor.slot.name] = "\(slots.count)"
      slots.append(tensor.slot)
    }
    let dictionary = tensors.map { tensor in
      TorchPickle.Tensor(
        name: tensor.name, dataType: types[tensor.slot.name].dataType, shape: tensor.slot.shape,
        storage: storages[tensor.slot.name] ?? "")
    }
    let file = try InteropError.from(
      try OutputFile(
        creating: path,
        expectedByteCount: slots.reduce(0) { $0 + byteCount(of: $1) }))
    var zip = ZipWriter()
    for (name, bytes) in [
      ("data.pkl", TorchPickle.encoded(dictionary)), ("byteorder", Array("little".utf8)),
      ("version", Array("3\n".utf8)),
    ] {
      let header = zip.header(
        name: Self.folder + name, byteCount: bytes.count, checksum: CRC32(bytes).value)
      try InteropError.from(try file.write(header + bytes))
    }
    for (index, slot) in slots.enumerated() {
      if isInterrupted() { throw .interrupted(path: path) }
      // The checksum stands before the data, so the elements are converted twice.
      var checksum = CRC32()
      try forEachBlock(of: slot, path: path) { block throws(InteropError) in
        checksum.update(block)
      }
      let header = zip.header(
        name: Self.folder + "data/\(index)", byteCount: byteCount(of: slot),
        checksum: checksum.value)
      try InteropError.from(try file.write(header))
      try forEachBlock(of: slot, path: path) { block throws(InteropError) in
        try InteropError.from(try file.write(block))
      }
    }
    try InteropError.from { () throws(FileError) in
      try file.write(zip.directory())
      try file.commit()
    }
  }

  /// The archive's one folder.
  private static var folder: String { "pytorch_model/" }

  private func byteCount(of slot: ParameterSlot) -> Int {
    slot.count * types[slot.name].dataType.byteCount
  }
}
