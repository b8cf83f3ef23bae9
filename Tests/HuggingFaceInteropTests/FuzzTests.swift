import Foundation
import HuggingFaceInterop
import JSON
import LanguageModels
import TensorFiles
import TensorStorage
import Testing

/// Mutated inputs must load or be refused, never crash.
@Suite struct FuzzTests {
  /// Changes a few bytes: flips, inserts, deletes, repeats, or interesting characters.
  private static func mutate(_ bytes: inout [UInt8], _ random: inout CounterRandom) {
    let characters = Array("{}[]\",:-0123456789eE.\\u/nftaINy \u{0}".utf8) + [0xFF, 0x80]
    for _ in 0...random.below(4) where !bytes.isEmpty {
      let position = random.below(bytes.count)
      switch random.below(6) {
      case 0: bytes[position] ^= 1 << UInt8(random.below(8))
      case 1: bytes[position] = characters[random.below(characters.count)]
      case 2: bytes.insert(characters[random.below(characters.count)], at: position)
      case 3: bytes.remove(at: position)
      case 4: bytes.removeSubrange(position..<min(position + random.below(40), bytes.count))
      default:
        let end = min(position + random.below(40), bytes.count)
        bytes.insert(contentsOf: bytes[position..<end], at: random.below(bytes.count))
      }
    }
  }

  @Test func mutatedConfigurations() throws {
    var refused = 0
    let rounds: UInt64 = 20_000
    let text = ModelDirectoryFixture.configText.dropLast(1)
    let seed = Array((text + #", "statex": {"layers": {"1": {"num_heads": 1}}}}"#).utf8)
    for round in 0..<rounds {
      var random = CounterRandom(seed: 1, purpose: "fuzz/config", index: round)
      var bytes = seed
      Self.mutate(&bytes, &random)
      do {
        let json = try bytes.withUnsafeBytes {
          try JSONValue(parsing: $0, source: "config.json", allowsNonFinite: true)
        }
        _ = try ModelConfiguration(configJSON: json).recurrentStateCount
      } catch { refused += 1 }
    }
    #expect(refused > rounds / 2 && refused < rounds)
  }

  @Test(arguments: ["model.safetensors", "config.json", "model.safetensors.index.json"])
  func mutatedDirectories(name: String) throws {
    let fixture = try ModelDirectoryFixture()
    defer { fixture.remove() }
    let isIndex = name.hasSuffix("index.json")
    try isIndex ? fixture.writeSharded() : fixture.write()
    let seed = Array(try Data(contentsOf: fixture.file(name)))
    // In the weights, only the header is worth changing: data may hold anything.
    let end = name == "model.safetensors" ? 8 + Int(seed[0]) + Int(seed[1]) << 8 : seed.count
    var refused = 0
    let rounds: UInt64 = 1500
    for round in 0..<rounds {
      var random = CounterRandom(seed: 2, purpose: "fuzz/" + name, index: round)
      var bytes = Array(seed[..<end])
      Self.mutate(&bytes, &random)
      try Data(bytes + seed[end...]).write(to: fixture.file(name))
      do { _ = try HuggingFaceModel.load(directory: fixture.path) } catch { refused += 1 }
    }
    #expect(refused > rounds / 2)
  }
}
