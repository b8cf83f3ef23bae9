import JSON

// What stands around the model: normalisers, pre-tokenizers and decoders.

extension TokenizerSections {
  /// The pattern of GPT-2, which `ByteLevel` splits by.
  static let wordPattern =
    #"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"#

  private func type(_ component: JSONValue) -> String {
    component["type"]?.string ?? "without type"
  }

  private func flag(
    _ component: JSONValue, _ name: String, default value: Bool
  ) throws(TokenDataError) -> Bool {
    guard let member = component[name], member != .null else { return value }
    guard let flag = member.bool else {
      throw invalid("\(type(component)).\(name)", "is neither true nor false")
    }
    return flag
  }

  private func text(_ component: JSONValue, _ name: String) throws(TokenDataError) -> String {
    guard let text = component[name]?.string else {
      throw invalid("\(type(component)).\(name)", "is not a string")
    }
    return text
  }

  /// The one scalar of a member.
  private func scalar(
    _ component: JSONValue, _ name: String
  ) throws(TokenDataError) -> Unicode.Scalar {
    let scalars = try text(component, name).unicodeScalars
    guard let scalar = scalars.first, scalars.count == 1 else {
      throw invalid("\(type(component)).\(name)", "is not one character")
    }
    return scalar
  }

  private func count(_ component: JSONValue, _ name: String) throws(TokenDataError) -> Int {
    guard let value = component[name] else { return 0 }
    guard let count = value.integer(), count >= 0 else {
      throw invalid("\(type(component)).\(name)", "is not a number of characters")
    }
    return count
  }

  /// The member `pattern`: `{"String": ...}` or `{"Regex": ...}`.
  private func pattern(
    _ component: JSONValue, alphabet: Pattern.Alphabet = .text
  ) throws(TokenDataError) -> Pattern {
    do throws(PatternParser.Failure) {
      if let literal = component["pattern"]?["String"]?.string {
        return try Pattern(literal: literal, alphabet: alphabet)
      }
      if let regex = component["pattern"]?["Regex"]?.string {
        return try Pattern(regex, alphabet: alphabet)
      }
    } catch {
      let text = component["pattern"]?["Regex"]?.string ?? ""
      throw unsupported("\(type(component)) with the pattern \(text) (\(error.reason))")
    }
    throw invalid("\(type(component)).pattern", "is neither a String nor a Regex")
  }

  private func pattern(
    _ set: ScalarSet, alphabet: Pattern.Alphabet
  ) throws(TokenDataError) -> Pattern {
    do throws(PatternParser.Failure) {
      return try Pattern(set, alphabet: alphabet)
    } catch { throw unsupported(error.reason) }
  }

  // MARK: - Normalisers

  /// The normalisers, in order.
  func normalizer() throws(TokenDataError) -> TextNormalizer {
    var steps: [TextNormalizer.Step] = []
    for component in components("normalizer", in: "normalizers") {
      switch type(component) {
      case "NFC", "NFD", "NFKC", "NFKD":
        steps.append(.form(UnicodeNormalization.Form(rawValue: type(component)) ?? .c))
      case "Lowercase": steps.append(.lowercase)
      case "Strip":
        steps.append(
          .strip(
            left: try flag(component, "strip_left", default: true),
            right: try flag(component, "strip_right", default: true)))
      case "Prepend": steps.append(.prepend(Array(try text(component, "prepend").utf8)))
      case "Replace":
        steps.append(
          .replace(try pattern(component), by: Array(try text(component, "content").utf8)))
      case let type:
        throw unsupported(
          "normalizer \(type)",
          supported: [
            "Lowercase", "NFC", "NFD", "NFKC", "NFKD", "Prepend", "Replace", "Sequence", "Strip",
          ])
      }
    }
    return TextNormalizer(steps: steps)
  }

  // MARK: - Pre-tokenizers

  /// The pre-tokenizers, in order.
  func preTokenizer() throws(TokenDataError) -> PreTokenizer {
    var steps: [PreTokenizer.Step] = []
    var alphabet = Pattern.Alphabet.text
    for component in components("pre_tokenizer", in: "pretokenizers") {
      switch type(component) {
      case "ByteLevel" where alphabet == .bytes, "Metaspace" where alphabet == .bytes:
        throw unsupported("pre_tokenizer \(type(component)) after ByteLevel")
      case "ByteLevel":
        if try flag(component, "add_prefix_space", default: true) { steps.append(.prefixSpace) }
        if try flag(component, "use_regex", default: true) {
          steps.append(.split(TextSplitter(try gpt2Pattern(), .isolated)))
        }
        alphabet = .bytes
      case "Metaspace": steps += try metaspace(component)
      case "Digits":
        let isOneByOne = try flag(component, "individual_digits", default: false)
        let digits = try pattern(.numeric, alphabet: alphabet)
        steps.append(.split(TextSplitter(digits, isOneByOne ? .isolated : .contiguous)))
      case "Punctuation":
        let marks = try pattern(.punctuation, alphabet: alphabet)
        steps.append(.split(TextSplitter(marks, try behavior(component, default: .isolated))))
      case "Split":
        steps.append(
          .split(
            TextSplitter(
              try pattern(component, alphabet: alphabet), try behavior(component, default: nil),
              isInverted: try flag(component, "invert", default: false))))
      case let type:
        throw unsupported(
          "pre_tokenizer \(type)",
          supported: ["ByteLevel", "Digits", "Metaspace", "Punctuation", "Sequence", "Split"])
      }
    }
    return PreTokenizer(steps: steps, isByteLevel: alphabet == .bytes)
  }

  private func gpt2Pattern() throws(TokenDataError) -> Pattern {
    do throws(PatternParser.Failure) {
      return try Pattern(Self.wordPattern)
    } catch { throw unsupported(error.reason) }
  }

  private func behavior(
    _ component: JSONValue, default value: TextSplitter.Behavior?
  ) throws(TokenDataError) -> TextSplitter.Behavior {
    if let value, component["behavior"] == nil { return value }
    let name = try text(component, "behavior")
    guard let behavior = TextSplitter.Behavior(rawValue: name) else {
      throw unsupported("\(type(component)) with behavior \(name)")
    }
    return behavior
  }

  private func metaspace(_ component: JSONValue) throws(TokenDataError) -> [PreTokenizer.Step] {
    let marker = try scalar(component, "replacement")
    let prepending = try prepending(component)
    let change = PreTokenizer.Step.markSpaces(marker: Array(String(marker).utf8), prepending)
    guard try flag(component, "split", default: true) else { return [change] }
    let markers = try pattern(ScalarSet(marker.value), alphabet: .text)
    return [change, .split(TextSplitter(markers, .mergedWithNext))]
  }

  private func prepending(
    _ component: JSONValue
  ) throws(TokenDataError) -> PreTokenizer.Prepending {
    guard let scheme = component["prepend_scheme"]?.string else {
      return try flag(component, "add_prefix_space", default: true) ? .always : .never
    }
    guard let result = PreTokenizer.Prepending(rawValue: scheme) else {
      throw unsupported("Metaspace with prepend_scheme \(scheme)")
    }
    return result
  }

  // MARK: - Decoders

  /// The decoders, in order.
  func decoder() throws(TokenDataError) -> TokenDecoder {
    guard member("decoder") != nil else { return TokenDecoder(steps: nil) }
    var steps: [TokenDecoder.Step] = []
    for component in components("decoder", in: "decoders") {
      switch type(component) {
      case "ByteLevel": steps.append(.byteLevel)
      case "ByteFallback": steps.append(.byteFallback)
      case "Fuse": steps.append(.fuse)
      case "Metaspace":
        steps.append(
          .unmarkSpaces(
            marker: try scalar(component, "replacement").value,
            dropsFirst: try prepending(component) != .never))
      case "Replace":
        steps.append(
          .replace(try pattern(component), by: Array(try text(component, "content").utf8)))
      case "Strip":
        steps.append(
          .strip(
            try scalar(component, "content").value,
            start: try count(component, "start"), stop: try count(component, "stop")))
      case let type:
        throw unsupported(
          "decoder \(type)",
          supported: [
            "ByteFallback", "ByteLevel", "Fuse", "Metaspace", "Replace", "Sequence", "Strip",
          ])
      }
    }
    return TokenDecoder(steps: steps)
  }
}
