import Files
import Foundation
import TensorFiles
import Testing

/// Archives that are not what their directory says, and large ones.
@Suite struct ZipArchiveTests {
  private static let data: [UInt8] = Array(repeating: 5, count: 12)
  private static let pickle = TorchPickle.encoded([
    .init(name: "a", dataType: .float32, shape: [3], storage: "0"),
    .init(name: "b", dataType: .float32, shape: [3], storage: "1"),
  ])
  private static let whole = TorchFile.archive(pickle: pickle, storages: [data, data])

  private static let entrySignature: [UInt8] = [0x50, 0x4B, 1, 2]
  private static let endSignature: [UInt8] = [0x50, 0x4B, 5, 6]

  /// Where the entries of the directory begin, and then its end.
  private static func places(_ bytes: [UInt8]) -> [Int] {
    bytes.indices.filter { index in
      bytes[index...].starts(with: entrySignature) || bytes[index...].starts(with: endSignature)
    }
  }

  private func refuse(_ reason: String, _ change: (inout [UInt8], [Int]) -> Void) {
    var bytes = Self.whole
    change(&bytes, Self.places(bytes))
    TorchFile.expectRefused(bytes, "contents: " + reason)
  }

  @Test func aCommentMayFollow() throws {
    var bytes = Self.whole
    bytes.put(UInt16(9), at: bytes.count - 2)
    // The comment holds the signature of another end.
    let (found, _) = try TorchFile.read(bytes + Self.endSignature + Array("hello".utf8))
    #expect(found.tensors.count == 2)
    TorchFile.expectRefused(bytes + [0], "contents: it has no zip directory")
  }

  @Test func entriesAreStoredAsTheyAre() {
    refuse("the entry 'archive/data.pkl' is compressed or encrypted") { bytes, places in
      bytes.put(UInt16(8), at: places[0] + 10)
    }
    refuse("the entry 'archive/data/0' is compressed or encrypted") { bytes, places in
      bytes.put(UInt16(1), at: places[1] + 8)
    }
    refuse("the entry 'archive/data/0' is compressed or encrypted") { bytes, places in
      bytes.put(UInt32(3), at: places[1] + 20)
    }
    refuse("the entry 'archive/data.pkl' is not where the directory says") { bytes, _ in
      bytes.put(UInt16(8), at: 8)  // in the header before the data only
    }
  }

  @Test func entriesDoNotOverlap() {
    // The second storage is the first one's place, under a header of its own name inside it.
    let inner = Array("archive/data/1".utf8)
    let header: [UInt8] =
      [0x50, 0x4B, 3, 4] + Array(repeating: 0, count: 22) + [UInt8(inner.count), 0, 0, 0] + inner
    let bytes = TorchFile.archive(pickle: Self.pickle, storages: [header + Self.data, Self.data])
    guard let place = bytes.offset(of: header) else { return #expect(Bool(false)) }
    var changed = bytes
    changed.put(UInt32(place), at: Self.places(bytes)[2] + 42)
    TorchFile.expectRefused(changed, "contents: two of its entries overlap at byte \(place)")
  }

  @Test func everythingLiesInTheFile() {
    refuse("the entry 'archive/data/0' ends outside the file's data") { bytes, places in
      for field in [20, 24] { bytes.put(UInt32(100_000), at: places[1] + field) }
    }
    refuse("there is no byte 2147483647: it is truncated or damaged") { bytes, places in
      bytes.put(Int32.max, at: places[1] + 42)
    }
    refuse("the entry 'archive/data/0' lacks its zip64 sizes") { bytes, places in
      bytes.put(UInt32.max, at: places[1] + 24)
    }
    refuse("its zip directory lies outside the file") { bytes, places in
      bytes.put(UInt32(1_000_000), at: places[3] + 12)
    }
    refuse("its zip directory does not end where it says") { bytes, places in
      bytes.put(UInt16(2), at: places[3] + 10)
    }
    refuse("its zip directory is damaged at byte") { bytes, places in
      bytes.put(UInt16(4), at: places[3] + 10)
    }
    refuse("its zip64 directory is not there") { bytes, places in
      bytes.put(UInt16.max, at: places[3] + 10)
    }
  }

  @Test func namesAreThereOnce() {
    TorchFile.expectRefused(
      TorchFile.archive([("data.pkl", Self.pickle), ("data/0", []), ("data/0", [])]),
      "contents: it has two entries 'archive/data/0'")
    refuse("the entry 'archive/data/1' is not where the directory says") { bytes, places in
      let first = bytes[(places[1] + 42)..<(places[1] + 46)]
      bytes.replaceSubrange((places[2] + 42)..<(places[2] + 46), with: first)
    }
  }

  @Test func thereIsOneDictionary() {
    let problem = "contents: it does not hold one folder with a data.pkl"
    TorchFile.expectRefused(TorchFile.archive([]), problem)
    TorchFile.expectRefused(TorchFile.archive([("version", [])]), problem)
    TorchFile.expectRefused(TorchFile.archive([("deep/data.pkl", Self.pickle)]), problem)
    TorchFile.expectRefused(
      TorchFile.archive([("data.pkl", Self.pickle), ("byteorder", Array("big".utf8))]),
      "byteorder: it is not 'little'")
    TorchFile.expectRefused(
      [0x80, 2, 0x8A, 0x0A, 0x6C, 0xFC], "contents: this is the format of PyTorch before 1.6")
    TorchFile.expectRefused(
      Array("version https://git-lfs.github.com/spec/v1\n".utf8), "this is a Git LFS pointer")
  }

  /// Sizes and places beyond 32 bits, in a file that is mostly a hole.
  @Test func largeFilesAreWrittenAndRead() throws {
    let path = FileManager.default.temporaryDirectory.path + "/torch-\(UUID().uuidString).bin"
    defer { try? FileManager.default.removeItem(atPath: path) }
    let large = 5 << 30
    let pickle = TorchPickle.encoded([
      .init(name: "large", dataType: .float32, shape: [5, 1 << 28], storage: "0"),
      .init(name: "late", dataType: .float16, shape: [2], storage: "1"),
    ])
    var zip = ZipWriter()
    #expect(FileManager.default.createFile(atPath: path, contents: nil))
    let output = try #require(FileHandle(forWritingAtPath: path))
    for (name, data) in [("data.pkl", pickle), ("data/0", nil), ("data/1", [1, 2, 3, 4])]
      as [(String, [UInt8]?)]
    {
      let header = zip.header(
        name: "archive/" + name, byteCount: data?.count ?? large, checksum: 0)
      try output.write(contentsOf: header)
      if let data {
        try output.write(contentsOf: data)
      } else {
        try output.seek(toOffset: try output.offset() + UInt64(large))
      }
    }
    try output.write(contentsOf: zip.directory())
    try output.close()
    let file = try MappedFile(path: path)
    let found = try TorchCheckpoint(file).tensors
    #expect(found.map(\.range.count) == [large, 4])
    #expect(found.allSatisfy { $0.range.lowerBound.isMultiple(of: 64) })
    #expect(Array(try file.slice(found[1].range, field: "")) == [1, 2, 3, 4])
  }
}
