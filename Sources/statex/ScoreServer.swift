import CommandSupport
import Evaluation
import Files
import Foundation
import JSON
import Training

/// Answers the clients that connect to a local socket, one after the other, until a stop signal.
///
/// A client's first line is `{"token": "..."}`; the answer describes the model. What follows is what
/// `statex score` reads from standard input.
struct ScoreServer {
  let scorer: RequestScorer
  let model: String
  let token: [UInt8]

  /// Bytes of a client's first line at most.
  private static let maximumTokenLine = 4096
  /// Seconds that a client has for its first line: the others wait meanwhile.
  private static let tokenTimeout = Duration.seconds(10)

  /// Reads the token that clients have to send.
  ///
  /// - Throws: `.data` when it is short or others can read it; `FileError`.
  static func token(file: String) throws -> [UInt8] {
    guard try FileSystem.isPrivate(file) else {
      throw CommandError.data("\(file): other users may read it; chmod 600 it")
    }
    let text = String(
      decoding: try InputFile.contents(of: file, limit: maximumTokenLine), as: UTF8.self)
    let token = Array(text.trimmingCharacters(in: .whitespacesAndNewlines).utf8)
    guard (16...1024).contains(token.count) else {
      throw CommandError.data("\(file): expected a token of 16 to 1024 bytes")
    }
    return token
  }

  /// Serves until SIGTERM, SIGINT or SIGUSR1.
  func run(at address: LocalAddress) throws {
    StopSignals.install()
    let listener = try LocalListener(address) { StopSignals.received != nil }
    print("listening at \(listener.address.text)")
    fflush(nil)
    while let connection = try listener.accept() {
      do {
        try serve(connection)
      } catch {
        warn("\(error); the connection is closed")
      }
    }
  }

  private func serve(_ connection: LocalConnection) throws(FileError) {
    var lines = LineReader(connection.input, limit: Self.maximumTokenLine)
    connection.input.deadline = .now + Self.tokenTimeout
    guard let first = try lines.next() else { return }
    guard isToken(first) else {
      let problem = "token: expected {\"token\": \"...\"} with the token of --token-file"
      let error = RequestError(id: nil, problem: problem)
      try connection.write(ScoringSession.line(error, number: 1).utf8)
      return
    }
    connection.input.deadline = nil
    lines.limit = ScoringSession.maximumLineBytes
    let greeting = [
      JSONMember("model", .string(model)), JSONMember("vocabulary", .integer(scorer.vocabulary)),
    ]
    try connection.write(greeting.line.utf8)
    var session = ScoringSession(scorer, linesBefore: 1)
    while let line = try lines.next() { try connection.write(session.take(line).utf8) }
    try connection.write(session.finish().utf8)
  }

  /// Whether a line holds the token, found out in a time that does not depend on where they differ.
  private func isToken(_ line: ArraySlice<UInt8>) -> Bool {
    guard line.count <= Self.maximumTokenLine,
      let json = try? line.withUnsafeBytes({ try JSONValue(parsing: $0, source: "token") }),
      let given = json["token"]?.string.map({ Array($0.utf8) }), given.count == token.count
    else { return false }
    return zip(given, token).reduce(UInt8(0)) { $0 | ($1.0 ^ $1.1) } == 0
  }
}
