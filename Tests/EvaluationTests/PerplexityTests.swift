import Evaluation
import Foundation
import Testing
import TokenData

@Suite("Perplexity")
struct PerplexityTests {
  @Test("agrees with PyTorch, in segments", arguments: fixtureNames, [7, 64, 4096])
  func agreesWithPyTorch(name: String, segment: Int) throws {
    let reference = try Reference.load(name)
    let model = try fixtureModel(name, segmentLength: segment)
    let folder = try TemporaryFolder()
    let length = reference.tokens[0].count - 1
    // The second sequence's first token is cut off where it is the first sequence's last.
    let text = reference.tokens[0] + reference.tokens[1].dropFirst()
    let prefix = try folder.tokens(text, vocabulary: model.model.vocabulary)
    let first = try Perplexity(
      TokenSelection([prefix]), sequenceLength: length, limit: 1, of: model
    )
    .measure(perToken: true)
    #expect(first.tokens == length && first.tokenNLL.count == length)
    for (mine, theirs) in zip(first.tokenNLL, reference.tokenNLL) {
      #expect(abs(Double(mine) - theirs) < 2e-5)
    }
    let mean = reference.tokenNLL.reduce(0, +) / Double(length)
    #expect(abs(first.nll - mean) < 1e-5)
    let both = try Perplexity(TokenSelection([prefix]), sequenceLength: length, of: model).measure()
    #expect(both.tokens == 2 * length && both.tokenNLL.isEmpty)
  }

  @Test("ids are checked before anything is measured, and only those that will be")
  func idsAreCheckedFirst() throws {
    let model = automaton(vocabulary: 16, [:], otherwise: 0)
    let folder = try TemporaryFolder()
    var tokens = [Int32](repeating: 1, count: 40)
    tokens[25] = 16
    let prefix = try folder.tokens(tokens, vocabulary: 17)
    #expect(throws: TokenDataError.self) {
      try Perplexity(TokenSelection([prefix]), sequenceLength: 8, of: model)
    }
    #expect(
      try Perplexity(TokenSelection([prefix]), sequenceLength: 8, limit: 3, of: model).sequenceCount
        == 3)
  }

  @Test("every token is predicted once and the rest is left out")
  func countsTokens() throws {
    // After token t the model is sure of t + 1: right within a count, wrong where it starts anew.
    let model = automaton(
      vocabulary: 16, Dictionary(uniqueKeysWithValues: (0..<15).map { ($0, $0 + 1) }), otherwise: 0)
    let folder = try TemporaryFolder()
    let counting = (0..<51).map { Int32($0 % 16) }
    let prefix = try folder.tokens(counting, vocabulary: 16)
    let perplexity = try Perplexity(TokenSelection([prefix]), sequenceLength: 8, of: model)
    #expect(perplexity.sequenceCount == 6)
    let all = try perplexity.measure()
    #expect(all.tokens == 48)
    // One-hot embeddings have norm 4 after the final norm: logits 4 against 15 zeros.
    #expect(abs(all.nll - log(1 + 15 * exp(-4))) < 1e-5)
    #expect(all.sequenceNLL.count == 6 && all.sequenceNLL.reduce(0, +) == all.sum)
  }

  @Test("the loss by position adds up to that of the sequences")
  func positions() throws {
    // Sure of t + 1 after t: wrong only where the text starts anew, at position 4 of every 5.
    let model = automaton(
      vocabulary: 16, Dictionary(uniqueKeysWithValues: (0..<15).map { ($0, $0 + 1) }), otherwise: 0)
    let folder = try TemporaryFolder()
    let prefix = try folder.tokens((0..<31).map { Int32($0 % 5) }, vocabulary: 16)
    let result = try Perplexity(TokenSelection([prefix]), sequenceLength: 10, of: model).measure()
    let right: Double = log(1 + 15 * exp(-4.0))
    #expect(result.positions.map(\.range) == [0..<1, 1..<2, 2..<4, 4..<8, 8..<10])
    let wanted: [Double] = [right, right, right, right + 1, right + 2]
    for (position, nll) in zip(result.positions, wanted) {
      #expect(abs(position.nll.mean - nll) < 1e-5 && position.nll.standardError < 1e-6)
    }
    let total = result.positions.reduce(0) { $0 + $1.nll.mean * Double($1.range.count) }
    #expect(abs(total - 10 * result.nll) < 1e-9)
    #expect(result.bitsPerByte == nil)
  }

  @Test("bits a byte and its error are those of a ratio of means")
  func bitsPerByte() throws {
    let records = [(2.0, 3.0), (4.0, 5.0), (3.0, 7.0)].enumerated().map { index, pair in
      SampleRecord(
        id: .integer(index), scores: [.init("nll", pair.0), .init("bytes", pair.1)])
    }
    let bits = try #require(Perplexity.Result(records, sequenceLength: 8).bitsPerByte)
    // R = 9 / 15 nats a byte; residuals 0.2, 1, -1.2 nats; their deviation over root 3, over a mean of 5 bytes.
    let error = (2.48 / 2.0 / 3.0).squareRoot() / 5
    #expect(abs(bits.value - 0.6 / M_LN2) < 1e-14)
    #expect(abs(bits.standardError - error / M_LN2) < 1e-14)
  }

  @Test("too little text and foreign tokens are refused")
  func refusals() throws {
    let model = automaton(vocabulary: 16, [:], otherwise: 0)
    let folder = try TemporaryFolder()
    let prefix = try folder.tokens([1, 2, 3, 300], vocabulary: 301)
    #expect(throws: TokenDataError.self) {
      try Perplexity(TokenSelection([prefix]), sequenceLength: 4, of: model)
    }
    #expect(throws: TokenDataError.self) {
      try Perplexity(TokenSelection([prefix]), sequenceLength: 3, of: model).measure()
    }
  }
}
