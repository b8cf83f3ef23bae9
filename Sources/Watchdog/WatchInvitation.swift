import Foundation

/// Where the lead can be reached by those whom it watches, and how they prove that they are of this run.
public struct WatchInvitation: Sendable {
  package let listener: Int32?
  package let port: Int
  package let token: WatchToken
  let addresses: [String]

  /// Begins to listen for `ranks` ranks, on the lead; nil if the system has no socket to give.
  public init?(ranks: Int) {
    guard let (socket, port) = WatchSocket.listen(backlog: ranks) else { return nil }
    (listener, self.port) = (socket, port)
    token = .random()
    addresses = WatchSocket.addresses()
  }

  /// Reads what the lead wrote; nil if it is none.
  public init?(_ text: String) {
    let words = text.split(separator: " ").map(String.init)
    guard words.count >= 3, let port = Int(words[0]), let high = UInt64(words[1], radix: 16),
      let low = UInt64(words[2], radix: 16)
    else { return nil }
    (listener, self.port, token) = (nil, port, WatchToken(high: high, low: low))
    addresses = Array(words.dropFirst(3))
  }

  /// For the other ranks.
  public var text: String {
    let token = [token.high, token.low].map { String($0, radix: 16) }
    return (["\(port)"] + token + addresses).joined(separator: " ")
  }
}
