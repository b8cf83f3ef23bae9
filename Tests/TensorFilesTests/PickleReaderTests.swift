import TensorFiles
import Testing

/// Pickles that are no dictionary of tensors.
@Suite struct PickleReaderTests {
  private static let protocol2: [UInt8] = [0x80, 2]

  private func expectRefused(_ pickle: [UInt8], _ reason: String) {
    TorchFile.expectRefused(TorchFile.archive(pickle: pickle), "pickle: " + reason)
  }

  /// Names are refused where they stand: there is nothing yet that could be called.
  @Test(
    arguments: [
      "posix\nsystem", "builtins\neval", "builtins\ngetattr", "torch._utils\n_rebuild_tensor_v3",
      "torch\nComplexFloatStorage", "torch.storage\nUntypedStorage", "torch.hub\nload",
      "numpy.core.multiarray\n_reconstruct", "__builtin__\nset",
    ])
  func otherNamesAreRefused(name: String) {
    expectRefused(
      Self.protocol2 + Array("}c\(name)\n(X\u{2}\0\0\0lstR.".utf8),
      "it names '\(name.split(separator: "\n").joined(separator: "."))'; only dictionaries of")
  }

  @Test(
    arguments: [
      // Instructions that build, import or look up anything else.
      ("i", 105), ("o", 111), ("\u{1}", 1), ("P", 80), ("I", 73), ("S", 83), ("V", 86), ("0", 48),
      ("2", 50), ("]", 93), ("l", 108), ("e", 101), ("a", 97), ("d", 100), ("G", 71), ("U", 85),
    ] as [(String, Int)])
  func otherInstructionsAreRefused(text: String, code: Int) {
    expectRefused(
      Self.protocol2 + Array("}\(text)os\nsystem\n.".utf8), "it has an instruction (\(code))")
  }

  @Test(arguments: [0x81, 0x82, 0x8C, 0x8E, 0x92, 0x93, 0x94, 0x95] as [UInt8])
  func instructionsOfLaterProtocolsAreRefused(code: UInt8) {
    expectRefused(Self.protocol2 + [code, 1, 0, 0, 0], "it has an instruction (\(code))")
    expectRefused([0x80, 4, code], "it is of protocol 4")
  }

  @Test(
    arguments: [
      ("K\u{1}.", "it holds no dictionary of tensors"),
      ("}X\u{1}\0\0\0aK\u{1}s.", "'a' is not a tensor; save the model's state dictionary alone"),
      ("}K\u{1}K\u{1}s.", "a key of a dictionary is not a text"),
      ("}", "it ends in the middle"), ("X\u{7F}\0\0\0", "it ends in the middle"),
      ("ccollections", "it ends in the middle"), ("", "it ends in the middle"),
      (".", "it is damaged"), ("t.", "it is damaged"), ("h\u{1}.", "it is damaged"),
      ("}}.", "it is damaged"), ("}.N", "it is damaged"), ("NNNs.", "it is damaged"),
      ("}(Nu.", "it is damaged"), ("}N)R.", "it is damaged"), ("NNb.", "it is damaged"),
      ("NQ.", "it is damaged"), (")Q.", "it is damaged"),
      ("ctorch\nFloatStorage\n)R.", "it is damaged"),
      ("ccollections\nOrderedDict\nN\u{2E}", "it is damaged"),
      ("ctorch._utils\n_rebuild_tensor_v2\n)R.", "it is damaged"),
    ] as [(String, String)])
  func whatIsNoDictionaryIsRefused(pickle: String, reason: String) {
    expectRefused(Self.protocol2 + Array(pickle.utf8), reason)
  }

  /// Small pickles must not become large values, nor deep ones.
  @Test func sizesAreBounded() {
    let deep = [UInt8(ascii: ")")] + Array(repeating: 0x85, count: 100_000)
    expectRefused(Self.protocol2 + deep, "its tuples are nested too deeply")
    let many = Array(repeating: UInt8(ascii: "N"), count: 100_000)
    expectRefused(Self.protocol2 + many, "it has more than 65536 values at a time")
    let long = Array(repeating: UInt8(ascii: "N"), count: (16 << 20) + 1)
    expectRefused(long, "its 16777217 bytes are too many")
    // A tuple of pairs, each of the pair before: 2^8 values if they were copied.
    let doubled = (0..<100).reduce(into: [UInt8(ascii: ")")]) { pickle, _ in
      pickle += [UInt8(ascii: "q"), 0, UInt8(ascii: "h"), 0, 0x86]
    }
    expectRefused(Self.protocol2 + doubled, "its tuples are nested too deeply")
  }

  @Test func textsAreUTF8AndNumbersFit() {
    expectRefused(
      Self.protocol2 + Array("}X\u{1}\0\0\0".utf8) + [0xFF], "a text before byte 9 is not UTF-8")
    expectRefused(
      Self.protocol2 + [0x8A, 9] + Array(repeating: 1, count: 9), "a number of 9 bytes")
  }
}
