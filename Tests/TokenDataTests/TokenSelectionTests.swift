import Compression
import Foundation
import Testing
import TokenData

/// Which token files a recipe's source stands for, and which documents of them.
@Suite struct TokenSelectionTests {
  /// A Megatron pair of documents.
  private func write(
    _ documents: [[Int32]], _ name: String, in directory: TemporaryDirectory,
    vocabularySize: Int = 60_000
  ) throws {
    let writer = try MegatronWriter(
      prefix: directory.file(name), vocabularySize: vocabularySize)
    for document in documents { try writer.append(document) }
    try writer.finish()
  }

  private func ids(_ tokens: MegatronTokens) throws -> [Int32] {
    try tokens.array(from: 0, count: tokens.tokenCount)
  }

  // MARK: Files without an index

  /// The bytes of numpy's `.npy`, version 1 or 2.
  private func npy(_ type: String, _ shape: String, _ data: [UInt8], version: UInt8 = 1) -> [UInt8]
  {
    var header = Array("{'descr': '\(type)', 'fortran_order': False, 'shape': \(shape), }".utf8)
    let start = version == 1 ? 10 : 12
    while (start + header.count + 1) % 64 != 0 { header.append(0x20) }
    header.append(0x0A)
    let length = version == 1 ? UInt16(header.count).bytes : UInt32(header.count).bytes
    return [0x93] + Array("NUMPY".utf8) + [version, 0] + length + header + data
  }

  private func llmc(_ magic: Int32, _ version: Int32, _ count: Int32, _ data: [UInt8]) -> [UInt8] {
    [magic, version, count].flatMap(\.bytes) + [UInt8](repeating: 0, count: 4 * 253) + data
  }

  @Test func everyFlatKindGivesItsIDs() throws {
    let directory = try TemporaryDirectory()
    let values: [Int32] = [5, 40_000, 7, 5, 0, 65_535]
    let short = values.flatMap { UInt16($0).bytes }
    let long = (values + [128_000]).flatMap(\.bytes)
    let files: [(String, [UInt8], [Int32])] = [
      ("a.bin", short, values), ("b.bin", llmc(20_240_520, 1, 6, short), values),
      ("c.bin", llmc(20_240_801, 7, 7, long), values + [128_000]),
      ("d.npy", npy("<u2", "(6,)", short), values),
      ("e.npy", npy("<i4", "(7,)", long, version: 2), values + [128_000]),
      ("f.npy", npy("<u4", "(7, )", long), values + [128_000]),
    ]
    for (name, bytes, expected) in files {
      try directory.write(bytes, to: name)
      let tokens = try #require(
        try TokenSelection([directory.file(name)], endOfText: 5).open().first)
      #expect(try ids(tokens) == expected, "\(name)")
      #expect(tokens.documentStarts == [0, 1, 4], "\(name)")
      let whole = try TokenSelection([directory.file(name)]).open()
      #expect(whole[0].documentStarts == [0], "\(name)")
    }
  }

  @Test(arguments: [
    ("a.bin", "a.bin: size: 3 bytes follow the header"),
    ("b.bin", "b.bin: size: 4 bytes follow the header, which promises 3 tokens of 2 bytes"),
    ("c.npy", "c.npy: npy header: dtype '<i8' is not supported; save the ids as uint16"),
    ("d.npy", "d.npy: npy header: shape must have one dimension"),
    ("e.npy", "e.npy: npy header: is missing"),
    ("f.npy", "f.npy: size: 2 bytes follow the header, which promises 2 tokens of 2 bytes"),
    ("g.npy", "g.npy: npy header: dtype '>u2' is not supported"),
  ])
  func damagedFlatFilesAreNamed(_ name: String, _ message: String) throws {
    let directory = try TemporaryDirectory()
    let bytes: [String: [UInt8]] = [
      "a.bin": [1, 2, 3], "b.bin": llmc(20_240_520, 1, 3, [1, 0, 2, 0]),
      "c.npy": npy("<i8", "(1,)", [UInt8](repeating: 0, count: 8)),
      "d.npy": npy("<u2", "(2, 1)", [0, 0, 0, 0]), "e.npy": Array("no numpy at all".utf8),
      "f.npy": npy("<u2", "(2,)", [0, 0]), "g.npy": npy(">u2", "(1,)", [0, 0]),
    ]
    try directory.write(try #require(bytes[name]), to: name)
    do {
      _ = try TokenSelection([directory.file(name)]).open()
      Issue.record("accepted")
    } catch {
      #expect("\(error)".contains(message), "\(error)")
    }
  }

  // MARK: Names

  @Test func namesAndPatternsStandForFilesInOrder() throws {
    let directory = try TemporaryDirectory()
    for (index, name) in ["p2", "p1", "q"].enumerated() {
      try write([[Int32(index)]], name, in: directory)
    }
    try directory.write(UInt16(9).bytes, to: "p3.bin")
    func open(_ names: String...) throws -> [Int32] {
      try TokenSelection(names.map { directory.file($0) }).open().flatMap { try ids($0) }
    }
    #expect(try open("q", "p*") == [2, 1, 0, 9])
    #expect(try open("p1.bin", "p2.idx", "p3.bin") == [1, 0, 9])
    for (names, message) in [
      (["p1", "p*"], "p1.bin: tokens: is named twice"),
      (["none*"], "none*: tokens: no token file matches"),
    ] {
      #expect {
        try TokenSelection(names.map { directory.file($0) }).open()
      } throws: { "\($0)".contains(message) }
    }
  }

  /// Samples of several files: none spans two, and every whole stretch of each is there.
  @Test func filesFollowEachOther() throws {
    let directory = try TemporaryDirectory()
    try write([Array(0..<10)], "a", in: directory)
    try write([Array(100..<103)], "b", in: directory)
    try write([Array(200..<205), Array(205..<209)], "c", in: directory)
    let files = try TokenSelection(["a", "b", "c"].map { directory.file($0) }).open()
    let source = try TokenFileSource(files, sequenceLength: 4, vocabularySize: 300)
    #expect(source.sampleCount == 4)
    let batch = SampleBatch(sampleCount: 4, sequenceLength: 4)
    for i in 0..<4 { try source.write(sample: UInt64(i), into: batch[i]) }
    #expect(Array(batch.inputs) == Array(0..<8) + Array(200..<208))
    #expect(Array(batch.targets) == Array(1..<9) + Array(201..<209))
    let last = try #require(source.documents(ofSample: 3))
    #expect(last.file == directory.file("c.bin") && last.numbers == 0...1)
    try source.checkIDs(ofFirst: 2)
    #expect(throws: TokenDataError.self) {
      try TokenFileSource(files, sequenceLength: 4, vocabularySize: 205).checkIDs(ofFirst: 4)
    }
  }

  // MARK: Held-out documents

  private func documents() -> [[Int32]] {
    (0..<2000).map { (number: Int) -> [Int32] in
      let length = 1 + number * 7 % 600
      return (0..<length).map { (place: Int) -> Int32 in
        Int32((number * 31 + place * place) % 50_000)
      }
    }
  }

  /// The two parts divide the documents; equal ones go together wherever they stand and however stored.
  @Test func theSplitIsByContent() throws {
    let directory = try TemporaryDirectory()
    let all = documents() + [[]] + documents().reversed()
    try write(all, "a", in: directory)
    try write(documents(), "wide", in: directory, vocabularySize: 100_000)
    func parts(_ name: String, _ share: Double) throws -> [[[Int32]]] {
      try [TokenSelection.Part.training(heldOut: share), .heldOut(share)].map { part in
        try TokenSelection([directory.file(name)], part: part).open().flatMap {
          (tokens: MegatronTokens) throws -> [[Int32]] in
          let row: [Int32] = try ids(tokens)
          let starts: [Int] = tokens.documentStarts
          let ends: [Int] = starts.dropFirst() + [row.count]
          return zip(starts, ends).map { (start: Int, end: Int) -> [Int32] in
            Array(row[start..<end])
          }
        }
      }
    }
    let (kept, held) = (try parts("a", 0.1)[0], try parts("a", 0.1)[1])
    #expect(kept.count + held.count == 4000)
    #expect((320...480).contains(held.count))
    #expect(Set(kept).isDisjoint(with: Set(held)))
    let expected = documents() + documents().reversed()
    let isHeld = Set(held)
    #expect(kept == expected.filter { !isHeld.contains($0) })
    #expect(held == expected.filter(isHeld.contains))
    let wide = try parts("wide", 0.1)
    #expect(wide[1] == documents().filter(isHeld.contains))
    // A larger share holds out more of the same.
    #expect(Set(try parts("a", 0.2)[1]).isSuperset(of: isHeld))
  }

  /// What the rule says, computed here.
  @Test func theRuleIsTheDocumentedOne() throws {
    let directory = try TemporaryDirectory()
    try write(documents(), "a", in: directory)
    let held = documents().enumerated().filter { (_: Int, document: [Int32]) -> Bool in
      let ids: [UInt8] = document.prefix(256).flatMap(\.bytes)
      let bytes: [UInt8] = UInt64(document.count).bytes + ids
      let hash = bytes.withUnsafeBytes { XXH64.hash($0) }
      return Double(hash) / 0x1p64 < 0.05
    }
    let part = try TokenSelection([directory.file("a")], part: .heldOut(0.05)).open()[0]
    #expect(try ids(part) == held.flatMap(\.element))
    let source = try TokenFileSource([part], sequenceLength: 1, vocabularySize: 60_000)
    #expect(source.documents(ofSample: 0)?.numbers.lowerBound == held[0].offset)
  }

  @Test func anEmptyPartIsRefused() throws {
    let directory = try TemporaryDirectory()
    try write([[1, 2, 3]], "a", in: directory)
    #expect {
      try TokenSelection([directory.file("a")], part: .heldOut(1e-9)).open()
    } throws: { "\($0)".contains("split: none of 1 documents falls in the part asked for") }
  }

  // MARK: Manifests

  @Test func aChangedPairIsNoticed() throws {
    let directory = try TemporaryDirectory()
    try directory.write("some text".utf8, to: "a.txt")
    let made = try tokenize(directory, ["a.txt"])
    let tokens = try TokenSelection([directory.file("out")]).open()[0]
    #expect(tokens.manifest == made.manifest)
    #expect(tokens.wholeFile.hash() == made.manifest.tokens.hash)
    let data = [(name: "out", vocabulary: made.manifest.vocabulary)]
    #expect(try TokenManifest.mismatches(of: data, model: nil).isEmpty)
    #expect(try TokenManifest.mismatches(of: data, model: directory.path).isEmpty)
    let model = Fixtures.tokenizers + "/sentencepiece"
    let vocabulary = try loadTokenizer(model).vocabulary
    #expect(
      try TokenManifest.mismatches(of: data, model: model) == [
        "out was made with the tokenizer byte (byte, vocabulary 257), the model's is sentencepiece "
          + "(\(vocabulary.hash), vocabulary \(vocabulary.size))"
      ])
    #expect(
      try TokenManifest.mismatches(of: [("a", vocabulary), data[0]], model: model).count == 1)
    // Another pair under the same name, without its manifest.
    let manifest = try directory.read("out.manifest.json")
    try write([[1, 2, 3]], "out", in: directory)
    #expect(try !directory.names.contains("out.manifest.json"))
    try directory.write(manifest, to: "out.manifest.json")
    #expect {
      try TokenSelection([directory.file("out")]).open()
    } throws: { "\($0)".contains("out.bin: contents: 6 bytes, but") }
  }
}
