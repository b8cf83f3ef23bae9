import Files
import Foundation
import Testing
import TokenData

@Suite struct MegatronTests {
  /// An index of two documents of three and two tokens, the second written first in the file.
  static func index(
    magic: [UInt8] = Array("MMIDIDX\0\0".utf8), version: UInt64 = 1, code: UInt8 = 8,
    sequences: UInt64 = 2, entries: UInt64 = 3, lengths: [Int32] = [3, 2],
    pointers: [Int64] = [4, 0], documents: [Int64] = [0, 1, 2], rest: [UInt8] = []
  ) -> [UInt8] {
    magic + version.bytes + [code] + sequences.bytes + entries.bytes + lengths.flatMap(\.bytes)
      + pointers.flatMap(\.bytes) + documents.flatMap(\.bytes) + rest
  }

  static let tokens: [UInt8] = ([40, 50, 10, 20, 30] as [UInt16]).flatMap(\.bytes)

  private func open(index: [UInt8], tokens: [UInt8] = tokens) throws -> MegatronTokens {
    let directory = try TemporaryDirectory()
    try directory.write(index, to: "data.idx")
    try directory.write(tokens, to: "data.bin")
    return try MegatronTokens(prefix: directory.file("data"))
  }

  @Test(arguments: [[], [0, 0]] as [[UInt8]])
  func sequencesAreReadInIndexOrder(_ modes: [UInt8]) throws {
    let data = try open(index: Self.index(rest: modes))
    #expect(data.tokenCount == 5 && data.sequenceCount == 2 && data.documentCount == 2)
    #expect(try data.array(from: 0, count: 5) == [10, 20, 30, 40, 50])
    #expect(try data.array(from: 2, count: 2) == [30, 40])
    #expect(try data.array(from: 3, count: 2) == [40, 50])
  }

  @Test func overlapsAndEmptySequencesAreAllowed() throws {
    let data = try open(
      index: Self.index(
        sequences: 4, lengths: [2, 0, 3, 5], pointers: [2, 10, 4, 0], documents: [0, 2, 4]))
    #expect(
      try data.array(from: 0, count: 10) == [50, 10, 10, 20, 30, 40, 50, 10, 20, 30])
  }

  @Test func historyCountsFromTheBeginningsOfDocuments() throws {
    // Documents of 2 + 0, 0 and 3 + 5 tokens.
    let data = try open(
      index: Self.index(
        sequences: 4, entries: 4, lengths: [2, 0, 3, 5], pointers: [2, 10, 4, 0],
        documents: [0, 2, 2, 4]))
    #expect(data.documentStarts == [0, 2])
    let source = try TokenFileSource([data], sequenceLength: 3, vocabularySize: 100)
    let batch = SampleBatch(sampleCount: 1, sequenceLength: 3, tracksDocuments: true)
    let stream = try DataStream(
      sources: [.init(source, weight: 1, shuffle: false)], seed: 0, sequenceLength: 3)
    let expected: [[Int32]] = [[0, 1, 0], [1, 2, 3], [4, 5, 6]]
    for sample in 0..<3 {
      try stream.write(globalSample: UInt64(sample), into: batch[0])
      #expect(batch.history.map(Array.init) == expected[sample])
    }
  }

  /// Documents of 2 + 0, 0 and 3 + 5 tokens, as above: the third token begins a document.
  @Test func theFirstTokenOfADocumentIsNoTargetOfTheOneBefore() throws {
    let data = try open(
      index: Self.index(
        sequences: 4, entries: 4, lengths: [2, 0, 3, 5], pointers: [2, 10, 4, 0],
        documents: [0, 2, 2, 4]))
    func weights(_ length: Int, across: Bool) throws -> [[Float]] {
      let source = try TokenFileSource(
        [data], sequenceLength: length, vocabularySize: 100, predictsAcrossDocuments: across)
      let batch = SampleBatch(sampleCount: 1, sequenceLength: length)
      return try (0..<(source.sampleCount ?? 0)).map { sample in
        try source.write(sample: UInt64(sample), into: batch[0])
        return Array(batch.weights)
      }
    }
    #expect(try weights(3, across: false) == [[1, 0, 1], [1, 1, 1], [1, 1, 1]])
    // The boundary at a sample's end and at its start.
    #expect(try weights(2, across: false) == [[1, 0], [1, 1], [1, 1], [1, 1]])
    #expect(try weights(1, across: false) == [[1], [0]] + [[Float]](repeating: [1], count: 7))
    #expect(try weights(3, across: true) == [[Float]](repeating: [1, 1, 1], count: 3))
  }

  @Test(arguments: [0, 1, 31, 32, 63, 999])
  func theLargestIDIsFoundWhereverItIs(_ position: Int) throws {
    let directory = try TemporaryDirectory()
    for vocabulary in [1000, 70_000] {
      let writer = try MegatronWriter(prefix: directory.file("out"), vocabularySize: vocabulary)
      var tokens = (0..<1000).map { Int32($0 % 7) }
      tokens[position] = Int32(vocabulary - 1)
      for first in stride(from: 0, to: 1000, by: 100) {
        try writer.append(Array(tokens[first..<(first + 100)]))
      }
      try writer.finish()
      let data = try MegatronTokens(prefix: directory.file("out"))
      #expect(try data.checkIDs(vocabularySize: vocabulary) == 1000 * data.element.byteCount)
      let end = position < 999 ? 1000 : 999
      let others = try data.checkIDs((position + 1) % 1000..<end, vocabularySize: 7)
      #expect(others == (end - (position + 1) % 1000) * data.element.byteCount)
      do {
        try data.checkIDs(vocabularySize: vocabulary - 1)
        Issue.record("accepted")
      } catch {
        #expect(
          error.description.contains(
            "out.bin: token \(position): id \(vocabulary - 1), in document \(position / 100), is"))
      }
    }
  }

  @Test func theCheckEndsWhenItIsInterrupted() throws {
    let data = try open(index: Self.index())
    #expect(throws: TokenDataError.self) { try data.checkIDs(vocabularySize: 1) }
    var asked = 0
    _ = try data.checkIDs(vocabularySize: 1) {
      asked += 1
      return true
    }
    #expect(asked == 1)
  }

  @Test func theCheckFollowsTheIndexAndSeesNegativeIDs() throws {
    // The second document is written first.
    let data = try open(index: Self.index())
    #expect(try data.checkIDs(0..<3, vocabularySize: 31) == 6)
    #expect(throws: TokenDataError.self) { try data.checkIDs(0..<4, vocabularySize: 31) }
    #expect(try data.checkIDs(vocabularySize: 65_536) == 0)
    let negative = try open(
      index: Self.index(code: 4, lengths: [1, 1], pointers: [0, 4]),
      tokens: Int32(5).bytes + Int32(-5).bytes)
    #expect(throws: TokenDataError.self) { try negative.checkIDs(vocabularySize: 100) }
  }

  static let corruptions: [(index: [UInt8], tokens: [UInt8], field: String)] = [
    (Array(index().prefix(20)), tokens, ".idx: header"),
    ([], tokens, ".idx: header"),
    (index(magic: Array("MMIDIDX\0\u{1}".utf8)), tokens, ".idx: magic"),
    (index(version: 2), tokens, ".idx: version"),
    (index(code: 5), tokens, ".idx: dtype: code 5 (int64)"),
    (index(code: 1), tokens, ".idx: dtype: code 1 (uint8)"),
    (index(code: 77), tokens, ".idx: dtype: code 77 (unknown)"),
    (index(sequences: .max), tokens, ".idx: sequence count: truncated"),
    (index(entries: .max), tokens, ".idx: document count: truncated"),
    (index(entries: 0), tokens, ".idx: document count: is 0"),
    (Array(index().dropLast()), tokens, ".idx: size: truncated"),
    (index(rest: [0]), tokens, ".idx: size: 1 bytes follow"),
    (index(lengths: [3, -2]), tokens, ".idx: length of sequence 1: is negative"),
    (index(lengths: [.max, 2]), tokens, ".idx: pointer of sequence 0"),
    (index(pointers: [6, 0]), tokens, ".idx: pointer of sequence 0"),
    (index(pointers: [4, -2]), tokens, ".idx: pointer of sequence 1"),
    (index(pointers: [4, .max]), tokens, ".idx: pointer of sequence 1"),
    (index(pointers: [3, 0]), tokens, ".idx: pointer of sequence 0: byte 3 is inside"),
    (index(), Array(tokens.prefix(8)), ".idx: pointer of sequence 0"),
    (index(), Array(tokens.dropLast()), ".bin: size: 9 bytes"),
    (index(), tokens + [1, 0], ".bin: size: 12 bytes, but"),
    (index(pointers: [2, 0]), tokens, ".bin: size: 10 bytes, but"),
    (index(documents: [1, 1, 2]), tokens, ".idx: document 0"),
    (index(documents: [0, 2, 1]), tokens, ".idx: document 2"),
    (index(documents: [0, 1, 1]), tokens, ".idx: document 2: the last entry"),
    (index(documents: [0, 1, 3]), tokens, ".idx: document 2"),
  ]

  @Test(arguments: corruptions.indices)
  func corruptFilesAreRefusedByFileAndField(_ i: Int) throws {
    let corruption = Self.corruptions[i]
    do {
      _ = try open(index: corruption.index, tokens: corruption.tokens)
      Issue.record("accepted: \(corruption.field)")
    } catch let error as TokenDataError {
      #expect("\(error)".contains(corruption.field), "\(error)")
      #expect(error.exitCode == 65)
    }
  }

  @Test func missingFilesAreAnIOError() {
    let missing = FileError.io(path: "/nowhere/x.idx", operation: "open", code: ENOENT)
    #expect(throws: TokenDataError.file(missing)) {
      try MegatronTokens(prefix: "/nowhere/x")
    }
  }

  @Test(arguments: [300, 70_000])
  func whatIsWrittenIsReadBack(_ vocabulary: Int) throws {
    let directory = try TemporaryDirectory()
    let writer = try MegatronWriter(
      prefix: directory.file("out"), vocabularySize: vocabulary)
    let documents: [[Int32]] = [[1, 2, 3], [], [Int32(vocabulary - 1)], Array(0..<200)]
    for document in documents { try writer.append(document) }
    #expect(try directory.names.allSatisfy { $0.contains(".partial-") })
    try writer.finish()
    #expect(try directory.names == ["out.bin", "out.idx"])
    let data = try MegatronTokens(prefix: directory.file("out"))
    #expect(data.element == (vocabulary == 300 ? .uint16 : .int32))
    #expect(data.sequenceCount == 4 && data.documentCount == 4)
    #expect(
      try data.array(from: 0, count: 204, vocabularySize: vocabulary) == documents.flatMap { $0 })
    // The bytes are Megatron's: lengths at 34, no padding.
    let index = try directory.read("out.idx")
    #expect(index.count == 34 + 12 * 4 + 8 * 5 && Array(index[34..<38]) == Int32(3).bytes)
  }

  /// Writes documents of `length` tokens as `out`.
  private func write(_ documents: Int, of length: Int, in directory: TemporaryDirectory) throws {
    let writer = try MegatronWriter(prefix: directory.file("out"), vocabularySize: 100)
    for i in 0..<documents { try writer.append(Array(repeating: Int32(i), count: length)) }
    try writer.finish()
  }

  @Test(arguments: ["out.bin", "out.idx"])
  func aFullDiskLeavesTheOldPair(file: String) throws {
    let directory = try TemporaryDirectory()
    try write(3, of: 4, in: directory)
    let fingerprint = try MegatronTokens(prefix: directory.file("out")).fingerprint()
    do {
      try FileFaults { call, path in
        call == .write && path.contains(file) ? .fail(ENOSPC) : nil
      }.during { try write(6, of: 2, in: directory) }
      Issue.record("written")
    } catch let error as TokenDataError {
      #expect(error.exitCode == 74)
      #expect("\(error)".contains("\(file).partial-"), "\(error)")
      #expect("\(error)".hasSuffix("bytes missing)"), "\(error)")
    }
    #expect(try MegatronTokens(prefix: directory.file("out")).fingerprint() == fingerprint)
    #expect(try directory.names == ["out.bin", "out.idx"])
  }

  /// Old and new set have the same number of bytes, so that only the order of renames tells them apart.
  @Test func aCrashNeverMixesTwoDataSets() throws {
    var crashes = 0
    while true {
      let directory = try TemporaryDirectory()
      try write(3, of: 4, in: directory)
      let old = try MegatronTokens(prefix: directory.file("out")).fingerprint()
      var calls = 0
      do {
        try FileFaults { _, _ in
          calls += 1
          return calls == crashes + 1 ? .crash : nil
        }.during { try write(6, of: 2, in: directory) }
        break
      } catch {}
      crashes += 1
      if let data = try? MegatronTokens(prefix: directory.file("out")) {
        let isNew = data.documentCount == 6
        #expect(isNew || data.fingerprint() == old, "call \(crashes)")
        #expect(try data.array(from: 2, count: 1) == [isNew ? 1 : 0], "call \(crashes)")
      }
      try write(2, of: 1, in: directory)
      #expect(try MegatronTokens(prefix: directory.file("out")).tokenCount == 2)
      #expect(try directory.names == ["out.bin", "out.idx"], "call \(crashes)")
    }
    #expect(crashes > 20)
  }

  @Test func aPairThatIsReplacedWhileItIsOpenedIsRefused() throws {
    let directory = try TemporaryDirectory()
    try write(3, of: 4, in: directory)
    var isReplaced = false
    #expect(throws: TokenDataError.self) {
      try FileFaults { call, path in
        guard call == .open, path.hasSuffix(".bin"), !isReplaced else { return nil }
        isReplaced = true
        try? write(6, of: 2, in: directory)
        return nil
      }.during { try MegatronTokens(prefix: directory.file("out")) }
    }
    #expect(try MegatronTokens(prefix: directory.file("out")).documentCount == 6)
  }

  @Test func aTextThatCannotBeReadIsNotDamaged() throws {
    let directory = try TemporaryDirectory()
    try directory.write([1, 2, 3], to: "a.jsonl.zst")
    func run(_ fault: FileFaults.Fault?) throws {
      try FileFaults { call, path in
        call == .read && path.hasSuffix(".zst") ? fault : nil
      }.during {
        _ = try tokenize(directory, ["a.jsonl.zst"])
      }
    }
    let failure = FileError.io(
      path: directory.file("a.jsonl.zst"), operation: "read", code: EIO)
    #expect(throws: TokenDataError.file(failure)) { try run(.fail(EIO)) }
    #expect(throws: TokenDataError.self) { try run(nil) }
  }

  @Test func anUnfinishedWriterLeavesNothing() throws {
    let directory = try TemporaryDirectory()
    do {
      let writer = try MegatronWriter(prefix: directory.file("out"), vocabularySize: 10)
      try writer.append([1])
      #expect(throws: TokenDataError.self) { try writer.append([10]) }
      #expect(throws: TokenDataError.self) { try writer.append([-1]) }
    }
    #expect(try directory.names.isEmpty)
  }

  @Test func samplesPredictEveryTokenOnce() throws {
    let directory = try TemporaryDirectory()
    let writer = try MegatronWriter(prefix: directory.file("out"), vocabularySize: 100)
    try writer.append(Array(0..<14))
    try writer.finish()
    let source = try TokenFileSource(
      [MegatronTokens(prefix: directory.file("out"))], sequenceLength: 4, vocabularySize: 100)
    #expect(source.sampleCount == 3)  // 13 predictions, 1 is left over
    let batch = SampleBatch(sampleCount: 3, sequenceLength: 4)
    for i in 0..<3 { try source.write(sample: UInt64(i), into: batch[i]) }
    #expect(Array(batch.inputs) == Array(0..<12))
    #expect(Array(batch.targets) == Array(1..<13))
    #expect(batch.weights.allSatisfy { $0 == 1 })
  }

  @Test func tokensOutsideTheVocabularyAreRefusedWhenRead() throws {
    let data = try open(index: Self.index())
    let source = try TokenFileSource([data], sequenceLength: 2, vocabularySize: 40)
    let batch = SampleBatch(sampleCount: 1, sequenceLength: 2)
    try source.write(sample: 0, into: batch[0])
    do {
      try source.write(sample: 1, into: batch[0])
      Issue.record("accepted")
    } catch {
      #expect(
        "\(error)".contains(
          ".bin: token 3: id 40, in document 1, is outside the vocabulary of 40"))
    }
    let negative = try open(
      index: Self.index(code: 4, lengths: [1, 1], pointers: [0, 4]),
      tokens: Int32(5).bytes + Int32(-5).bytes)
    #expect(throws: TokenDataError.self) { try negative.array(from: 0, count: 2) }
  }

  @Test func tooFewTokensAreRefused() throws {
    let data = try open(index: Self.index())
    #expect(try TokenFileSource([data], sequenceLength: 4, vocabularySize: 99).sampleCount == 1)
    #expect(throws: TokenDataError.self) {
      try TokenFileSource([data], sequenceLength: 5, vocabularySize: 99)
    }
  }

  @Test func fingerprintsTellFilesApart() throws {
    let original = try open(index: Self.index()).fingerprint()
    #expect(try open(index: Self.index()).fingerprint() == original)
    #expect(try open(index: Self.index(rest: [0, 0])).fingerprint() != original)
    #expect(try open(index: Self.index(pointers: [4, 2])).fingerprint() != original)
    var other = Self.tokens
    other[9] ^= 1
    #expect(try open(index: Self.index(), tokens: other).fingerprint() != original)
  }
}
