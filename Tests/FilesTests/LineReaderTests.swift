import Files
import Foundation
import Testing

@Suite struct LineReaderTests {
  private func lines(_ text: String, limit: Int = 1 << 20) throws -> [String] {
    let path = NSTemporaryDirectory() + "/lines-" + UUID().uuidString
    try Data(text.utf8).write(to: URL(fileURLWithPath: path))
    defer { try? FileManager.default.removeItem(atPath: path) }
    var reader = LineReader(try InputFile(path: path), limit: limit)
    var lines: [String] = []
    while let line = try reader.next() { lines.append(String(decoding: line, as: UTF8.self)) }
    return lines
  }

  @Test func linesAreThoseOfTheFile() throws {
    #expect(try lines("") == [])
    #expect(try lines("one") == ["one"])
    #expect(try lines("one\n\ntwo\n") == ["one", "", "two"])
    let long = (0..<50_000).map { "line \($0)" }
    #expect(try lines(long.joined(separator: "\n")) == long)
  }

  @Test func longLinesComeInPieces() throws {
    let text = String(repeating: "a", count: 300_000)
    let pieces = try lines(text + "\nb\n", limit: 100_000)
    #expect(pieces.last == "b")
    #expect(pieces.dropLast().joined() == text)
    #expect(pieces.count > 2 && pieces[0].utf8.count > 100_000)
  }
}
