import ErrorReporting
import Foundation

/// An address that only programs on this machine can reach.
public enum LocalAddress: Sendable, Equatable {
  /// A loopback address of IPv4 or IPv6; port 0 lets the system choose one.
  case loopback(host: String, port: UInt16)
  /// A Unix socket.
  case unix(path: String)

  /// What is wrong with the text of an address.
  public struct Problem: Error, Equatable, CustomStringConvertible {
    /// One line.
    public let description: String

    init(_ description: String) { self.description = singleLine(description) }
  }

  /// Bytes of a Unix socket's path at most, its ending zero not counted.
  public static let maximumPathBytes = MemoryLayout.size(ofValue: sockaddr_un().sun_path) - 1

  /// Decodes `127.0.0.1:PORT`, `[::1]:PORT` or `unix:PATH`.
  ///
  /// - Throws: `Problem` for anything else, and for addresses that other machines can reach.
  public init(_ text: String) throws(Problem) {
    if text.hasPrefix("unix:") {
      let path = String(text.dropFirst("unix:".count))
      guard (1...Self.maximumPathBytes).contains(path.utf8.count) else {
        throw Problem(
          "the path of a socket has 1 to \(Self.maximumPathBytes) bytes")
      }
      self = .unix(path: path)
      return
    }
    guard let colon = text.lastIndex(of: ":"), let port = UInt16(text[text.index(after: colon)...])
    else { throw Problem("expected 127.0.0.1:PORT, [::1]:PORT or unix:PATH") }
    var host = String(text[..<colon])
    if host.hasPrefix("["), host.hasSuffix("]") { host = String(host.dropFirst().dropLast()) }
    guard Self.isLoopback(host) else {
      throw Problem(
        "\(host) is no loopback address; write 127.0.0.1 or [::1],"
          + " and let a tunnel (ssh -L) serve other machines")
    }
    self = .loopback(host: host, port: port)
  }

  /// The address as it is written.
  public var text: String {
    switch self {
    case .loopback(let host, let port): host.contains(":") ? "[\(host)]:\(port)" : "\(host):\(port)"
    case .unix(let path): "unix:\(path)"
    }
  }

  private static func isLoopback(_ host: String) -> Bool {
    var (four, six) = (in_addr(), in6_addr())
    if inet_pton(AF_INET, host, &four) == 1 { return four.s_addr.bigEndian >> 24 == 127 }
    guard inet_pton(AF_INET6, host, &six) == 1 else { return false }
    return withUnsafeBytes(of: &six) { $0.dropLast().allSatisfy { $0 == 0 } && $0.last == 1 }
  }
}

extension LocalAddress {
  /// Calls `body` with the address as the system takes it.
  func withSocketAddress<Result>(
    _ body: (UnsafePointer<sockaddr>, socklen_t) throws -> Result
  ) rethrows -> Result {
    switch self {
    case .unix(let path):
      var address = sockaddr_un()
      address.sun_family = sa_family_t(AF_UNIX)
      withUnsafeMutableBytes(of: &address.sun_path) { $0.copyBytes(from: Array(path.utf8)) }
      return try Self.call(&address, body)
    case .loopback(let host, let port) where host.contains(":"):
      var address = sockaddr_in6()
      address.sin6_family = sa_family_t(AF_INET6)
      address.sin6_port = port.bigEndian
      inet_pton(AF_INET6, host, &address.sin6_addr)
      return try Self.call(&address, body)
    case .loopback(let host, let port):
      var address = sockaddr_in()
      address.sin_family = sa_family_t(AF_INET)
      address.sin_port = port.bigEndian
      inet_pton(AF_INET, host, &address.sin_addr)
      return try Self.call(&address, body)
    }
  }

  private static func call<Address, Result>(
    _ address: inout Address, _ body: (UnsafePointer<sockaddr>, socklen_t) throws -> Result
  ) rethrows -> Result {
    try withUnsafeBytes(of: &address) { bytes in
      try bytes.withMemoryRebound(to: sockaddr.self) { addresses in
        guard let base = addresses.baseAddress else { fatalError("no address") }
        return try body(base, socklen_t(MemoryLayout<Address>.size))
      }
    }
  }

  /// The port that a bound socket has.
  static func boundPort(_ descriptor: Int32) -> UInt16? {
    var storage = sockaddr_storage()
    var length = socklen_t(MemoryLayout<sockaddr_storage>.size)
    return withUnsafeMutableBytes(of: &storage) { bytes in
      bytes.withMemoryRebound(to: sockaddr.self) { addresses in
        guard let base = addresses.baseAddress, getsockname(descriptor, base, &length) == 0
        else { return nil }
        // The port lies at the same place in the addresses of both families.
        return UInt16(bigEndian: bytes.loadUnaligned(fromByteOffset: 2, as: UInt16.self))
      }
    }
  }
}
