import Files
import Foundation
import TensorFiles
import TensorStorage
import Testing

/// Reading and writing of PyTorch's files; `Tests/Interop` compares with PyTorch itself.
@Suite struct TorchCheckpointTests {
  /// What `make_torch_fixtures.py` wrote with `torch.save`.
  private static let fixture = URL(fileURLWithPath: #filePath).deletingLastPathComponent()
    .appendingPathComponent("../Fixtures/torch/state.bin").standardizedFileURL

  /// Three tensors, two of which share their storage.
  private func checkpoint() -> [UInt8] {
    let pickle = TorchPickle.encoded([
      .init(name: "a", dataType: .float32, shape: [2, 3], storage: "0"),
      .init(name: "b", dataType: .bfloat16, shape: [], storage: "1"),
      .init(name: "tied", dataType: .float32, shape: [6], storage: "0"),
    ])
    return TorchFile.archive(pickle: pickle, storages: [Array(0..<24), [7, 8]])
  }

  private func floats(_ file: MappedFile, _ range: Range<Int>) throws -> [Float] {
    let bytes = try file.slice(range, field: "")
    return stride(from: 0, to: bytes.count, by: 4).map {
      Float(bitPattern: bytes.loadUnaligned(fromByteOffset: $0, as: UInt32.self))
    }
  }

  @Test func whatPyTorchWroteIsRead() throws {
    let file = try MappedFile(path: Self.fixture.path)
    let found = try TorchCheckpoint(file).tensors
    #expect(found.map(\.name) == ["a", "small", "scalar", "tied", "whole", "part"])
    #expect(found.map(\.shape) == [[2, 3], [2], [], [2, 3], [8], [3, 2]])
    #expect(
      found.map(\.dataType) == [.float32, .float16, .bfloat16, .float32, .float32, .float32])
    #expect(try floats(file, found[0].range) == [0, 1, 2, 3, 4, 5])
    #expect(Array(try file.slice(found[1].range, field: "")) == [0x00, 0x3E, 0x00, 0xC0])
    #expect(Array(try file.slice(found[2].range, field: "")) == [0x80, 0x3E])
    #expect(found[3].range == found[0].range)
    #expect(try floats(file, found[4].range) == [0, 1, 2, 3, 4, 5, 6, 7])
    #expect(try floats(file, found[5].range) == [2, 3, 4, 5, 6, 7])
  }

  @Test func whatIsWrittenIsRead() throws {
    let (found, file) = try TorchFile.read(checkpoint())
    #expect(found.tensors.map(\.name) == ["a", "b", "tied"])
    #expect(found.tensors.map(\.shape) == [[2, 3], [], [6]])
    #expect(found.tensors.map(\.dataType) == [.float32, .bfloat16, .float32])
    #expect(found.tensors[0].range == found.tensors[2].range)
    for (tensor, expected) in zip(found.tensors, [Array(0..<24), [7, 8]] as [[UInt8]]) {
      #expect(tensor.range.lowerBound.isMultiple(of: 64))
      #expect(Array(try file.slice(tensor.range, field: "")) == expected)
    }
  }

  @Test(
    arguments: [
      .bool, .uint8, .int8, .int16, .int32, .int64, .float16, .bfloat16, .float32, .float64,
    ] as [TensorDataType])
  func typesKeepTheirNames(type: TensorDataType) throws {
    let pickle = TorchPickle.encoded([
      .init(name: "a", dataType: type, shape: [3], storage: "0")
    ])
    let data = [UInt8](repeating: 1, count: 3 * type.byteCount)
    let (found, _) = try TorchFile.read(TorchFile.archive(pickle: pickle, storages: [data]))
    #expect(found.tensors.map(\.dataType) == [type])
  }

  @Test func checksumsAreThoseOfZip() {
    #expect(CRC32([]).value == 0)
    #expect(CRC32(Array("123456789".utf8)).value == 0xCBF4_3926)
    let bytes = (0..<100).map { UInt8(truncatingIfNeeded: $0 * 37) }
    var byBytes = CRC32()
    for byte in bytes { withUnsafeBytes(of: byte) { byBytes.update($0) } }
    #expect(byBytes.value == CRC32(bytes).value)
  }

  @Test func tensorsLieInTheirStorage() {
    let tensor = TorchPickle.Tensor(
      name: "a", dataType: .float32, shape: [2, 3], storage: "0")
    let pickle = TorchPickle.encoded([tensor])
    func expectRefused(_ pickle: [UInt8], _ storages: [[UInt8]], _ reason: String) {
      TorchFile.expectRefused(TorchFile.archive(pickle: pickle, storages: storages), reason)
    }
    expectRefused(pickle, [], "tensor a: the archive does not hold its storage '0'")
    for count in [23, 28] {
      expectRefused(
        pickle, [Array(repeating: 0, count: count)],
        "tensor a: its storage has \(count) bytes, not those of 6 elements of F32")
    }
    // The offset stands between the storage and the shape: Q, J and four bytes.
    guard let offset = pickle.offset(of: Array("Q".utf8) + [0x4A, 0, 0, 0, 0]) else {
      return #expect(Bool(false))
    }
    let data = [UInt8](repeating: 0, count: 24)
    for (place, value, reason) in [
      (offset + 2, Int32(1), "its elements lie outside its storage, which has 6"),
      (offset + 2, -1, "pickle: it is damaged"),
      (offset + 8, 3, "its elements lie outside its storage"),
      (offset + 8, 0x7FFF_FFFF, "its elements lie outside its storage"),
      (offset + 13, 4, "a view whose elements are not in order; save it with .contiguous()"),
      (offset + 20, 2, "a view whose elements are not in order"),
    ] as [(Int, Int32, String)] {
      var changed = pickle
      changed.put(value, at: place)
      expectRefused(changed, [data], reason)
    }
    expectRefused(TorchPickle.encoded([tensor, tensor]), [data], "it has two tensors 'a'")
  }

  /// Truncations, flips of one bit and changes of a few bytes.
  @Test func damageIsAnErrorAndNothingElse() throws {
    for bytes in [checkpoint(), Array(try Data(contentsOf: Self.fixture))] {
      for count in 0..<bytes.count {
        #expect(throws: FileError.self) { try TorchFile.read(Array(bytes[..<count])) }
      }
      var random = CounterRandom(seed: 1, purpose: "torch damage")
      var refused = 0
      for round in 0..<1500 {
        var changed = bytes
        if round < 1000 {
          changed[random.below(bytes.count)] ^= 1 << UInt8(random.below(8))
        } else {
          for _ in 0...random.below(3) {
            changed[random.below(bytes.count)] = UInt8(random.below(256))
          }
        }
        do {
          let (found, file) = try TorchFile.read(changed)
          for tensor in found.tensors {
            #expect(tensor.range.lowerBound >= 0 && tensor.range.upperBound <= file.byteCount)
            #expect(
              tensor.range.count == tensor.shape.reduce(tensor.dataType.byteCount, *))
          }
        } catch is FileError {
          refused += 1
        }
      }
      #expect(refused > 300 && refused < 1500)
    }
  }
}
