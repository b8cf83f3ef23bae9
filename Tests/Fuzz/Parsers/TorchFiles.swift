import Files
import TensorFiles

extension FuzzTarget {
  /// A state dictionary that `torch.save` wrote: an archive and a pickle.
  static var torchCheckpoint: FuzzTarget {
    FuzzTarget("torch") { room in
      let tensors = [
        TorchPickle.Tensor(name: "a.weight", dataType: .float32, shape: [2, 3], storage: "0"),
        TorchPickle.Tensor(name: "b", dataType: .bfloat16, shape: [], storage: "1"),
        TorchPickle.Tensor(name: "c", dataType: .float32, shape: [6], storage: "0"),
      ]
      let entries = [
        ("data.pkl", TorchPickle.encoded(tensors)), ("byteorder", Array("little".utf8)),
        ("data/0", [UInt8](repeating: 0, count: 24)), ("data/1", [0, 0]),
      ]
      var zip = ZipWriter()
      var archive: [UInt8] = []
      for (name, data) in entries {
        archive += zip.header(
          name: "archive/" + name, byteCount: data.count, checksum: CRC32(data).value)
        archive += data
      }
      return Prepared(
        corpus: [archive + zip.directory(), try fixture("torch/state.bin")],
        words: [
          "PK\u{1}\u{2}", "PK\u{5}\u{6}", "PK\u{6}\u{6}", "ctorch\nFloatStorage\n", "\u{86}", "t",
          "Q",
        ]
      ) { input in
        let path = try room.write(input, "state.bin")
        let checkpoint = try TorchCheckpoint(try MappedFile(path: path))
        for tensor in checkpoint.tensors {
          try expect(
            tensor.range.lowerBound >= 0 && tensor.range.upperBound <= input.count,
            "\(tensor.name) lies outside")
        }
      }
    }
  }
}
