import Files
import Foundation
import Testing

@Suite("Sockets on this machine")
struct LocalSocketTests {
  @Test(
    "addresses of this machine",
    arguments: [
      ("127.0.0.1:80", LocalAddress.loopback(host: "127.0.0.1", port: 80)),
      ("127.1.2.3:65535", .loopback(host: "127.1.2.3", port: 65535)),
      ("[::1]:0", .loopback(host: "::1", port: 0)), ("unix:/tmp/x", .unix(path: "/tmp/x")),
      ("unix:a:b", .unix(path: "a:b")),
    ])
  func accepted(text: String, address: LocalAddress) throws {
    #expect(try LocalAddress(text) == address)
    #expect(address.text == text)
  }

  @Test(
    "anything else is refused",
    arguments: [
      "", "80", ":80", "127.0.0.1", "127.0.0.1:", "127.0.0.1:65536", "127.0.0.1:-1", "0.0.0.0:80",
      "128.0.0.1:80", "[::]:80", "[::2]:80", "[::ffff:8.8.8.8]:80", "localhost:80", "127.1:80",
      "unix:", "unix:" + String(repeating: "x", count: LocalAddress.maximumPathBytes + 1),
    ])
  func refused(text: String) {
    #expect(throws: LocalAddress.Problem.self) { try LocalAddress(text) }
  }

  @Test("a listener chooses a port, and stops when it is told to")
  func stopping() throws {
    nonisolated(unsafe) var asked = 0
    let listener = try LocalListener(.loopback(host: "127.0.0.1", port: 0)) {
      asked += 1
      return asked > 2
    }
    guard case .loopback("127.0.0.1", let port) = listener.address else {
      Issue.record("not the address asked for")
      return
    }
    #expect(port != 0)
    #expect(try listener.accept() == nil)
    #expect(asked == 3)
    #expect(throws: FileError.self) { try LocalListener(listener.address) { false } }
  }

  @Test("a Unix socket is its owner's, and its name goes with the listener")
  func unixSocket() throws {
    let path = FileManager.default.temporaryDirectory.path + "/s\(UInt32.random(in: 0...(.max)))"
    do {
      let listener = try LocalListener(.unix(path: path)) { true }
      #expect(try FileSystem.isPrivate(path))
      #expect(try listener.accept() == nil)
    }
    #expect(try !FileSystem.exists(path))
  }
}
