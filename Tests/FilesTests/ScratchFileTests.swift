import Files
import Foundation
import Testing

@Suite struct ScratchFileTests {
  private let values = (0..<1000).map { Float($0) * 0.5 }

  /// Writes two parts and reads across their border.
  private func roundTrip(in directory: TemporaryDirectory) throws -> [Float] {
    let file = try ScratchFile(directory: directory.path, count: 1000)
    #expect(try directory.names() == [], "the file has no name")
    try values.withUnsafeBufferPointer { values in
      guard let base = values.baseAddress else { return }
      try file.write(base + 600, count: 400, at: 600)
      try file.write(base, count: 600, at: 0)
    }
    return try [Float](unsafeUninitializedCapacity: 700) { buffer, count in
      if let base = buffer.baseAddress { try file.read(into: base, count: 700, at: 250) }
      count = 700
    }
  }

  @Test func whatIsWrittenIsReadBackInPiecesOfAnySize() throws {
    let directory = try TemporaryDirectory()
    #expect(try roundTrip(in: directory) == Array(values[250..<950]))
    try FileFaults { call, _ in
      call == .write || call == .read ? .shortWrite : nil
    }.during { () throws in #expect(try roundTrip(in: directory) == Array(values[250..<950])) }
  }

  @Test(arguments: [FileCall.create, .allocate, .write, .read])
  func anErrorInAnyCallIsTold(call: FileCall) throws {
    let directory = try TemporaryDirectory()
    let error = #expect(throws: FileError.self) {
      try FileFaults { made, _ in made == call ? .fail(ENOSPC) : nil }.during {
        _ = try roundTrip(in: directory)
      }
    }
    #expect(error?.exitCode == 74)
    #expect(error?.description.contains(directory.path) == true)
    #expect(try directory.names() == [])
  }
}
