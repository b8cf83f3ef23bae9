import Foundation
import JSON
import TokenData

/// What a tokenizer that loads is asked to encode.
private let texts = ["", "The grass is green.\n", " a  b\t12345 \u{E9}\u{1F600}", "<s>x</s>"]

/// Requires that a tokenizer says nothing impossible.
private func tryOut(_ tokenizer: HuggingFaceTokenizer) throws {
  let ids = 0..<Int32(clamping: tokenizer.vocabularySize)
  for text in texts {
    let tokens = tokenizer.encode(text, addSpecial: true)
    try expect(tokens.allSatisfy(ids.contains), "an id outside the vocabulary of \(ids.count)")
    _ = tokenizer.decode(tokens)
  }
  let named = [tokenizer.beginningOfText, tokenizer.endOfText].compactMap { $0 }
  try expect(named.allSatisfy(ids.contains), "a special id outside the vocabulary")
}

extension FuzzTarget {
  /// `tokenizer.json` of every kind.
  static var tokenizer: FuzzTarget {
    FuzzTarget("tokenizer") { room in
      let directory = try room.directory("tokenizer")
      let kinds = ["byte-level", "byte-level-nfc", "metaspace", "sentencepiece"]
      return Prepared(
        corpus: try kinds.map { try fixture("tokenizers/\($0)/tokenizer.json") },
        words: ["\"added_tokens\"", "\"normalized\": true", "16777215", "16777216", "\"Sequence\""]
      ) { input in
        try room.write(input, "tokenizer/tokenizer.json")
        try tryOut(try HuggingFaceTokenizer(path: directory))
      }
    }
  }

  /// The regular expression of a tokenizer, and its matches.
  static var pattern: FuzzTarget {
    FuzzTarget("pattern") { room in
      let directory = try room.directory("tokenizer")
      let file = try fixture("tokenizers/qwen2/tokenizer.json")
      let json = try file.withUnsafeBytes { try JSONValue(parsing: $0, source: "tokenizer.json") }
      let own = json["pre_tokenizer"]?["pretokenizers"]?.array?[0]["pattern"]?["Regex"]?.string
      guard let own else { throw WrongResult(description: "the fixture has no pattern") }
      let escaped = JSONValue.string(own).line
      let parts = file.text.components(separatedBy: escaped)
      try expect(parts.count == 2, "the fixture holds \(parts.count - 1) patterns")
      return Prepared(
        corpus: [
          Array(own.utf8), Array("[^\\x{41}-\\u00FF[a-z]]{2,5}(?![\\p{^L}])|(?i:ab?)".utf8),
        ],
        words: ["(?:", "(?=[", "\\p{N}", "{1,3}", "\\x{10FFFF}", "\\uD800", "++", "[^", "|"]
      ) { input in
        let pattern = JSONValue.string(input.text).line
        try room.write(Array((parts[0] + pattern + parts[1]).utf8), "tokenizer/tokenizer.json")
        try tryOut(try HuggingFaceTokenizer(path: directory))
      }
    }
  }

  /// `tokenizer_config.json`.
  static var tokenizerConfiguration: FuzzTarget {
    FuzzTarget("tokenizer-config") { room in
      let directory = try room.directory("tokenizer")
      try room.write(try fixture("tokenizers/metaspace/tokenizer.json"), "tokenizer/tokenizer.json")
      let given = #"{"bos_token": {"content": "<s>"}, "eos_token": "</s>", "add_bos_token": true}"#
      return Prepared(corpus: [Array(given.utf8)]) { input in
        try room.write(input, "tokenizer/tokenizer_config.json")
        try tryOut(try HuggingFaceTokenizer(path: directory))
      }
    }
  }

  /// Text for a tokenizer.
  static var tokenizedText: FuzzTarget {
    FuzzTarget("text") { room in
      var tokenizers: [HuggingFaceTokenizer] = []
      for kind in ["byte-level-nfc", "sentencepiece"] {
        let directory = try room.directory(kind)
        try room.write(try fixture("tokenizers/\(kind)/tokenizer.json"), kind + "/tokenizer.json")
        tokenizers.append(try HuggingFaceTokenizer(path: directory))
      }
      return Prepared(
        corpus: texts.map { Array($0.utf8) } + [
          Array("e\u{301}a\u{323}\u{307} \u{AC00}\u{11A8}".utf8)
        ],
        words: ["<s>", "</s>", "\u{301}\u{323}", "\u{2581}", "'ll", " 's", "\u{FEFF}"]
      ) { input in
        for tokenizer in tokenizers {
          let tokens = tokenizer.encode(input.text, addSpecial: true)
          try expect(
            tokens.allSatisfy { $0 >= 0 && Int($0) < tokenizer.vocabularySize },
            "an id outside the vocabulary")
        }
      }
    }
  }
}
