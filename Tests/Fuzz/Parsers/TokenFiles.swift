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

  /// Documents, one JSON object a line.
  static var jsonLines: FuzzTarget { documents("jsonl", "a.jsonl") { $0 } }

  /// The same, compressed.
  static var compressedJSONLines: FuzzTarget {
    documents("jsonl-zst", "a.jsonl.zst") { try zstdFrames($0) }
  }

  /// Documents in a file of that name.
  ///
  /// - Parameters:
  ///   - name: the parser's.
  ///   - file: the file's, whose end says what it is.
  ///   - encoded: makes the file of lines.
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
          var reading = TextReading()
          reading.badInput = badInput
          _ = try TextTokenizer(
            tokenizer: ByteTokenizer(), outputPrefix: room.file("out"), reading: reading
          ).run(files: [path])
        }
      }
    }
  }
}
