import Foundation
import TokenData

extension FuzzTarget {
  /// The index of a Megatron data set, beside its tokens.
  static var megatronIndex: FuzzTarget {
    FuzzTarget("megatron-index") { room in
      var corpus: [[UInt8]] = []
      for vocabulary in [100, 70_000] {
        let writer = try MegatronWriter(prefix: room.file("made"), vocabularySize: vocabulary)
        for length in [3, 0, 5, 8] { try writer.append((0..<length).map { Int32($0) }) }
        try writer.finish()
        corpus.append(try room.read("made.idx") + room.read("made.bin"))
      }
      // The two files of an input follow each other; the tokens are the last bytes.
      return Prepared(corpus: corpus, words: ["MMIDIDX\u{0}\u{0}"]) { input in
        let tokens = input.count >= 18 && input[17] == 8 ? 32 : 64
        let index = input.count - min(tokens, input.count)
        try room.write(Array(input[..<index]), "tokens.idx")
        try room.write(Array(input[index...]), "tokens.bin")
        let data = try MegatronTokens(prefix: room.file("tokens"))
        _ = (data.documentStarts, data.fingerprint())
        let read = UnsafeMutableBufferPointer<Int32>.allocate(capacity: min(data.tokenCount, 64))
        defer { read.deallocate() }
        try data.read(from: 0, into: read, vocabularySize: 200)
        try data.read(from: data.tokenCount - read.count, into: read, vocabularySize: 100)
        try data.checkIDs(vocabularySize: 100)
      }
    }
  }

  /// Files without an index.
  static var flatTokens: FuzzTarget {
    FuzzTarget("flat-tokens") { room in
      let header = "{'descr': '<u2', 'fortran_order': False, 'shape': (4,), }"
      let npy =
        [0x93] + Array("NUMPY".utf8) + [1, 0, 118, 0]
        + Array(header.padding(toLength: 117, withPad: " ", startingAt: 0).utf8) + [0x0A]
      let words: [Int32] = [20_240_520, 1, 4] + [Int32](repeating: 0, count: 253)
      let llmc = words.flatMap { word in withUnsafeBytes(of: word.littleEndian) { Array($0) } }
      let tokens: [UInt8] = [1, 0, 2, 0, 3, 0, 2, 0]
      return Prepared(corpus: [npy + tokens, llmc + tokens], words: ["'shape': (", "<u4", "<i8"]) {
        input in
        let name = input.first == 0x93 ? "a.npy" : "a.bin"
        let path = try room.write(input, name)
        let data = try MegatronTokens(flat: path, endOfText: 2)
        _ = (data.documentStarts, data.fingerprint(), data.documentCount)
        try data.checkIDs(vocabularySize: 100)
      }
    }
  }

  /// What stands beside a data set.
  static var tokenManifest: FuzzTarget {
    FuzzTarget("token-manifest") { room in
      let text = try room.write(Array("{\"text\": \"one\"}".utf8), "in.jsonl")
      var work = TextTokenizer(tokenizer: ByteTokenizer(), outputPrefix: room.file("made"))
      work.dropsOldWork = true
      _ = try work.run([TextInput(path: text)])
      return Prepared(corpus: [try room.read("made.manifest.json")], words: ["\"sources\"", "-1"]) {
        input in
        try room.write(input, "made.manifest.json")
        _ = try MegatronTokens(prefix: room.file("made"))
      }
    }
  }

  /// What is published of a data set in the making, and the lengths of its documents.
  static var publishedTokens: FuzzTarget {
    FuzzTarget("published") { room in
      let text = try room.write(Array("{\"text\": \"one\"}\n".utf8), "in.jsonl")
      let corpus = try TextCorpus(
        [text], tokenizer: ByteTokenizer(), reading: TextReading(), directory: room.file("text"))
      let made = room.local(corpus.prefix) + ".unfinished"
      try room.directory(made)
      try room.write((0..<64).flatMap { _ in [0x20, 0] }, made + "/tokens.bin")
      let lengths: [Int32] = [7, 0, 9, 8]
      let bytes = lengths.flatMap { withUnsafeBytes(of: $0.littleEndian) { Array($0) } }
      // The two files of an input follow each other; the lengths are the last bytes.
      return Prepared(
        corpus: [(4, 24), (1, 7), (0, 0)].map {
          Array("{\"documents\": \($0.0), \"tokens\": \($0.1)}".utf8) + bytes
        },
        words: ["281474976710656", "\"tokens\": 24"]
      ) { input in
        let end = input.count - min(bytes.count, input.count)
        try room.write(Array(input[..<end]), made + "/published")
        try room.write(Array(input[end...]), made + "/lengths")
        var plan = TextSource.Plan(sequenceLength: 4)
        plan.firstBlock = 4
        let source = try TextSource(corpus, plan)
        // Who asks twice looks.
        _ = try source.isReady(sample: 0)
        guard try source.isReady(sample: 0) else { return }
        let batch = SampleBatch(sampleCount: 1, sequenceLength: 4)
        try source.write(sample: 0, into: batch[0])
        try expect((0..<4).allSatisfy { batch[0].inputs[$0] == 0x20 }, "other tokens than stored")
      }
    }
  }

  /// Documents, one JSON object a line.
  static var jsonLines: FuzzTarget { documents("jsonl", "a.jsonl") { $0 } }

  /// The same, compressed.
  static var compressedJSONLines: FuzzTarget {
    documents("jsonl-zst", "a.jsonl.zst") { try zstdFrames($0) }
  }

  /// Documents compressed with gzip; the bytes that Python's `gzip.compress(..., mtime=0)` gives for a line.
  static var gzipJSONLines: FuzzTarget {
    documents("jsonl-gz", "a.jsonl.gz") { _ in
      Array(Data(base64Encoded: "H4sIAAAAAAACA6tWKkmtKFGyUlDKz0tVqgUAaQLcaA8AAAA=") ?? Data())
    }
  }

  /// An array of objects.
  static var jsonArray: FuzzTarget {
    documents("json", "a.json") { _ in
      Array("[{\"text\": \"one\"},\n {\"text\": \"\\u00e9\", \"m\": [1, {\"b\": \"]\"}]}]".utf8)
    }
  }

  /// Documents in a file of that name.
  ///
  /// - Parameters:
  ///   - name: the parser's.
  ///   - file: the file's, whose end says what it is.
  ///   - encoded: makes the file of lines.
  /// - Returns: the parser.
  static func documents(
    _ name: String, _ file: String, encoded: @escaping ([UInt8]) throws -> [UInt8]
  ) -> FuzzTarget {
    FuzzTarget(name) { room in
      let lines = [
        "{\"text\": \"one\"}\n{\"text\": \"h\\u00e9\\ud83d\\ude00\", \"meta\": {\"x\": NaN}}\n\n",
        "\u{FEFF}{\"id\": 1, \"text\": \"\"}\r\n{\"text\":\"z\", \"n\": -1.5e3}",
      ]
      return Prepared(
        corpus: try lines.map { try encoded(Array($0.utf8)) },
        words: ["\"text\"", "\\ud800", "\\u0000", "\n\n"]
      ) { input in
        let path = try room.write(input, file)
        for badInput in [TextReading.BadInput.refuse, .skip, .replace] {
          var work = TextTokenizer(tokenizer: ByteTokenizer(), outputPrefix: room.file("out"))
          work.reading.badInput = badInput
          work.dropsOldWork = true
          _ = try work.run([TextInput(path: path)])
        }
      }
    }
  }
}
