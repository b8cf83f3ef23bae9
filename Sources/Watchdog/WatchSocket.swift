import Foundation
import Synchronization

/// TCP sockets that never wait, and what they may be reached at.
enum WatchSocket {
  /// A socket that listens on a free port of all interfaces; nil if the system has none to give.
  static func listen(backlog: Int) -> (socket: Int32, port: Int)? {
    for family in [AF_INET6, AF_INET] {
      let socket = make(family)
      guard socket >= 0 else { continue }
      if family == AF_INET6 { set(socket, Int32(IPPROTO_IPV6), IPV6_V6ONLY, 0) }
      var address = sockaddr_storage()
      address.ss_family = sa_family_t(family)
      var length = socklen_t(
        family == AF_INET6 ? MemoryLayout<sockaddr_in6>.size : MemoryLayout<sockaddr_in>.size)
      let isListening = withSocketAddress(&address) {
        bind(socket, $0, length) == 0 && Glibc.listen(socket, Int32(backlog)) == 0
          && getsockname(socket, $0, &length) == 0
      }
      // Both families have the port at the same place.
      let port = withUnsafeBytes(of: &address) {
        UInt16(bigEndian: $0.loadUnaligned(fromByteOffset: 2, as: UInt16.self))
      }
      if isListening { return (socket, Int(port)) }
      close(socket)
    }
    return nil
  }

  /// The numeric addresses of this machine's interfaces, those of other machines' reach last.
  static func addresses() -> [String] {
    var first: UnsafeMutablePointer<ifaddrs>?
    guard getifaddrs(&first) == 0 else { return [] }
    defer { freeifaddrs(first) }
    var found: [String] = []
    var next = first
    while let entry = next {
      next = entry.pointee.ifa_next
      guard entry.pointee.ifa_flags & UInt32(IFF_UP) != 0,
        let address = entry.pointee.ifa_addr
      else { continue }
      let family = Int32(address.pointee.sa_family)
      guard family == AF_INET || family == AF_INET6 else { continue }
      let size =
        family == AF_INET ? MemoryLayout<sockaddr_in>.size : MemoryLayout<sockaddr_in6>.size
      let text = withUnsafeTemporaryAllocation(of: CChar.self, capacity: 128) { buffer in
        getnameinfo(address, socklen_t(size), buffer.baseAddress, 128, nil, 0, NI_NUMERICHOST) == 0
          ? buffer.baseAddress.map { String(cString: $0) } : nil
      }
      // Link-local addresses mean something else on every link.
      if let text, !text.contains("%"), !found.contains(text) { found.append(text) }
    }
    return found
  }

  /// Connects within `limit` seconds; nil if nobody answers.
  static func connect(to host: String, port: Int, limit: Double) -> Int32? {
    var hints = addrinfo()
    hints.ai_flags = AI_NUMERICHOST | AI_NUMERICSERV
    hints.ai_socktype = Int32(SOCK_STREAM.rawValue)
    var list: UnsafeMutablePointer<addrinfo>?
    guard getaddrinfo(host, "\(port)", &hints, &list) == 0, let info = list?.pointee else {
      return nil
    }
    defer { freeaddrinfo(list) }
    let socket = make(info.ai_family)
    guard socket >= 0 else { return nil }
    let isBegun =
      Glibc.connect(socket, info.ai_addr, info.ai_addrlen) == 0 || errno == EINPROGRESS
    var failure: Int32 = 0
    var length = socklen_t(MemoryLayout<Int32>.size)
    guard isBegun, wait(for: [socket], Int16(POLLOUT), limit).contains(socket),
      getsockopt(socket, SOL_SOCKET, SO_ERROR, &failure, &length) == 0, failure == 0
    else {
      close(socket)
      return nil
    }
    return socket
  }

  /// Takes the next connection; nil if there is none.
  static func accept(_ listener: Int32) -> Int32? {
    let socket = Glibc.accept(listener, nil, nil)
    guard socket >= 0 else { return nil }
    _ = fcntl(socket, F_SETFL, O_NONBLOCK)
    _ = fcntl(socket, F_SETFD, FD_CLOEXEC)
    set(socket, Int32(IPPROTO_TCP), TCP_NODELAY, 1)
    return socket
  }

  /// The sockets of some on which something can be done within `limit` seconds.
  static func wait(for sockets: [Int32], _ events: Int16, _ limit: Double) -> [Int32] {
    var entries = sockets.map { pollfd(fd: $0, events: events, revents: 0) }
    let milliseconds = Int32(max(0, (limit * 1000).rounded(.up)))
    guard poll(&entries, nfds_t(entries.count), milliseconds) > 0 else { return [] }
    return entries.filter { $0.revents != 0 }.map(\.fd)
  }

  /// Sends a frame whole, or what there is room for: a peer that reads nothing for minutes is lost.
  static func send(_ frame: WatchFrame, to socket: Int32) {
    frame.bytes.withUnsafeBytes {
      _ = Glibc.send(socket, $0.baseAddress, $0.count, Int32(MSG_NOSIGNAL))
    }
  }

  private static func make(_ family: Int32) -> Int32 {
    let kind = SOCK_STREAM.rawValue | SOCK_NONBLOCK.rawValue | SOCK_CLOEXEC.rawValue
    let made = Glibc.socket(family, Int32(kind), 0)
    if made >= 0 { set(made, Int32(IPPROTO_TCP), TCP_NODELAY, 1) }
    return made
  }

  private static func set(_ socket: Int32, _ level: Int32, _ option: Int32, _ value: Int32) {
    var value = value
    setsockopt(socket, level, option, &value, socklen_t(MemoryLayout<Int32>.size))
  }

  private static func withSocketAddress<Result>(
    _ address: inout sockaddr_storage, _ body: (UnsafeMutablePointer<sockaddr>) -> Result
  ) -> Result {
    withUnsafeMutablePointer(to: &address) {
      $0.withMemoryRebound(to: sockaddr.self, capacity: 1, body)
    }
  }
}

/// One side's end of a connection: bytes become frames.
struct WatchConnection {
  let socket: Int32
  /// The rank at the other end, once it has said so.
  var rank: Int?
  /// When it was opened, on the own clock.
  let since: Double
  private var pending: [UInt8] = []

  init(_ socket: Int32, since: Double) { (self.socket, self.since) = (socket, since) }

  /// Frames that have arrived, and whether the connection is still open.
  ///
  /// What is no frame closes it.
  mutating func receive() -> (frames: [WatchFrame], isOpen: Bool) {
    var frames: [WatchFrame] = []
    let size = WatchFrame.byteCount
    while true {
      let missing = size - pending.count
      var result = 0
      pending += [UInt8](unsafeUninitializedCapacity: missing) { buffer, count in
        result = recv(socket, buffer.baseAddress, missing, 0)
        count = max(0, result)
      }
      guard result > 0 else {
        return (frames, result < 0 && (errno == EAGAIN || errno == EINTR))
      }
      guard pending.count == size else { continue }
      guard let frame = WatchFrame(pending) else { return (frames, false) }
      frames.append(frame)
      pending = []
    }
  }
}
