import Foundation
import SystemPackage

/// A socket at which programs of this machine connect.
///
/// A Unix socket is made with permissions for its owner only, and its name is removed in the end.
public final class LocalListener {
  /// Where it listens; a port that the system chose is filled in.
  public let address: LocalAddress
  private let descriptor: FileDescriptor
  private let isStopping: () -> Bool

  /// Connections that wait to be accepted, at most.
  private static let backlog: Int32 = 16

  /// Starts to listen.
  ///
  /// - Parameters:
  ///   - address: where.
  ///   - isStopping: asked about every 0.1 seconds while the listener or one of its connections
  ///     waits; once it is true, `accept` gives no connection, and the connections are at their ends.
  /// - Throws: `.io`, also where another program listens already.
  public init(_ address: LocalAddress, isStopping: @escaping () -> Bool) throws(FileError) {
    let name = address.text
    let family =
      switch address {
      case .unix: AF_UNIX
      case .loopback(let host, _): host.contains(":") ? AF_INET6 : AF_INET
      }
    descriptor = try perform(.listen, name) {
      let type = Int32(SOCK_STREAM.rawValue | SOCK_CLOEXEC.rawValue)
      return FileDescriptor(rawValue: try check(socket(family, type, 0)))
    }
    self.isStopping = isStopping
    do {
      if case .unix(let path) = address { try Self.removeDeadSocket(path, address) }
      try Self.bind(descriptor, address)
    } catch {
      try? descriptor.close()
      throw error
    }
    guard case .loopback(let host, 0) = address,
      let port = LocalAddress.boundPort(descriptor.rawValue)
    else {
      self.address = address
      return
    }
    self.address = .loopback(host: host, port: port)
  }

  deinit {
    try? descriptor.close()
    if case .unix(let path) = address { try? FileSystem.remove(path) }
  }

  /// The next connection, once there is one; nil when the listener is to stop.
  ///
  /// - Throws: `.io`.
  public func accept() throws(FileError) -> LocalConnection? {
    while try waitUntilReadable(descriptor, address.text, isStopping: isStopping) {
      do {
        let connection = try perform(.accept, address.text) {
          let connection = try check(Foundation.accept(descriptor.rawValue, nil, nil))
          _ = fcntl(connection, F_SETFD, FD_CLOEXEC)
          return FileDescriptor(rawValue: connection)
        }
        return LocalConnection(connection, "the client at \(address.text)", isStopping: isStopping)
      } catch  where error.saysAborted {
        continue
      }
    }
    return nil
  }

  private static func bind(
    _ descriptor: FileDescriptor, _ address: LocalAddress
  ) throws(FileError) {
    try perform(.listen, address.text) {
      var one: Int32 = 1
      let size = socklen_t(MemoryLayout<Int32>.size)
      try check(setsockopt(descriptor.rawValue, SOL_SOCKET, SO_REUSEADDR, &one, size))
      // Nobody else may connect, from the first moment on.
      let mask = umask(0o177)
      defer { umask(mask) }
      try address.withSocketAddress { address, length in
        _ = try check(Foundation.bind(descriptor.rawValue, address, length))
      }
      try check(listen(descriptor.rawValue, backlog))
    }
  }

  /// Removes the name of a socket at which nobody listens any more.
  private static func removeDeadSocket(
    _ path: String, _ address: LocalAddress
  ) throws(FileError) {
    guard try FileSystem.kind(of: path, followingLinks: false) == .special else { return }
    let probe = try perform(.listen, address.text) {
      FileDescriptor(rawValue: try check(socket(AF_UNIX, Int32(SOCK_STREAM.rawValue), 0)))
    }
    defer { try? probe.close() }
    let result = address.withSocketAddress { connect(probe.rawValue, $0, $1) }
    if result != 0 && errno == ECONNREFUSED { try FileSystem.remove(path) }
  }
}

/// A connection to a program of this machine.
public final class LocalConnection {
  /// What the other side sends; it ends when that side has sent all, or when the listener is to stop.
  public let input: InputFile
  private let name: String
  private let descriptor: FileDescriptor

  /// Seconds that the other side may leave what is written unread.
  private static let writeTimeout = 60

  fileprivate init(
    _ descriptor: FileDescriptor, _ name: String, isStopping: @escaping () -> Bool
  ) {
    (self.descriptor, self.name) = (descriptor, name)
    input = InputFile(name, descriptor, isStopping: isStopping)
    var timeout = timeval(tv_sec: Self.writeTimeout, tv_usec: 0)
    let size = socklen_t(MemoryLayout<timeval>.size)
    setsockopt(descriptor.rawValue, SOL_SOCKET, SO_SNDTIMEO, &timeout, size)
  }

  /// Sends bytes.
  ///
  /// - Throws: `.io`, also when the other side is gone, or reads nothing for a minute.
  public func write(_ bytes: some Collection<UInt8>) throws(FileError) {
    guard !bytes.isEmpty else { return }
    let bytes = Array(bytes)
    try perform(.write, name) {
      try bytes.withUnsafeBytes { bytes in
        var sent = 0
        while sent < bytes.count {
          let rest = UnsafeRawBufferPointer(rebasing: bytes[sent...])
          let count = send(
            descriptor.rawValue, rest.baseAddress, rest.count, Int32(MSG_NOSIGNAL))
          if count < 0, errno == EINTR { continue }
          guard count >= 0 else { throw Errno(rawValue: errno == EAGAIN ? ETIMEDOUT : errno) }
          sent += count
        }
      }
    }
  }
}

extension FileError {
  /// Whether the other side of a connection was gone before it was accepted.
  fileprivate var saysAborted: Bool {
    if case .io(_, _, ECONNABORTED, _) = self { true } else { false }
  }
}

/// Waits until there is something to read (the end counts); false once `isStopping` says so.
func waitUntilReadable(
  _ descriptor: FileDescriptor, _ name: String, until deadline: ContinuousClock.Instant? = nil,
  isStopping: () -> Bool
) throws(FileError) -> Bool {
  while !isStopping() {
    var waited = pollfd(fd: descriptor.rawValue, events: Int16(POLLIN), revents: 0)
    let count = poll(&waited, 1, 100)
    if count > 0 { return true }
    if count < 0, errno != EINTR { throw FileCall.read.failure(name) }
    if let deadline, .now > deadline { throw FileCall.read.failure(name, ETIMEDOUT) }
  }
  return false
}
