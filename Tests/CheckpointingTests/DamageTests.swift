import Checkpointing
import Compression
import Files
import Foundation
import TensorStorage
import Testing

@Suite struct DamageTests {
  private let sample = Sample(seed: 1)

  private func shard(_ index: Int, of count: Int = 2) -> String {
    "/shard-0000\(index)-of-0000\(count).safetensors.zst"
  }

  @Test func findsTwoHundredBitFlips() throws {
    let run = try TemporaryRun(inMemory: true)
    try run.save(sample, step: 5)
    let path = run.stepPath(5)
    let files = [shard(0), shard(1), "/manifest.json"]
    let good = try files.map { try bytes(path + $0) }
    var random = CounterRandom(seed: 42, purpose: "flips")
    for flip in 0..<200 {
      let file = flip % 3
      var bad = good[file]
      // Half of the flips hit the first 200 bytes: frame headers, the shard's header.
      let byte = random.below(flip % 2 == 0 ? bad.count : min(bad.count, 200))
      bad[byte] ^= 1 << UInt8(random.below(8))
      try write(bad, path + files[file])
      let text = complaints(path)
      #expect(text.contains(files[file].dropFirst()), "flip in byte \(byte): \(text)")
      let reader = try? CheckpointReader(path: path)
      if let reader { #expect(throws: CheckpointError.self) { try readAll(reader) } }
      try write(good[file], path + files[file])
    }
    #expect(complaints(path) == "")
  }

  @Test func namesTheDamagedTensor() throws {
    let run = try TemporaryRun(inMemory: true)
    let large = Sample(sizes: [[6_000_000], [100]], seed: 1)
    try run.save(large, step: 5, shards: 1)
    let file = run.stepPath(5) + shard(0, of: 1)
    var bad = try bytes(file)
    bad[bad.count / 2] ^= 1
    try write(bad, file)
    let text = complaints(run.stepPath(5))
    #expect(text.contains("shard 0 of step 5 of run run1 does not have the hash"), "\(text)")
    #expect(text.contains("damaged is one of exp_avg/layers.0.w"), "\(text)")
  }

  @Test func findsTruncationAndPages() throws {
    let run = try TemporaryRun(inMemory: true)
    let sample = Sample(sizes: [[20_000]], seed: 4)
    try run.save(sample, step: 5)
    let path = run.stepPath(5)
    for name in [shard(0), "/manifest.json"] {
      let good = try bytes(path + name)
      for part in 0..<50 {
        try write(Array(good.prefix(good.count * part / 50)), path + name)
        #expect(complaints(path).contains(name.dropFirst()), "\(name) cut to \(part)/50")
      }
      try write(good + [0], path + name)
      #expect(complaints(path).contains(name.dropFirst()))
      try write(good, path + name)
    }
    let first = try bytes(path + shard(0))
    let second = try bytes(path + shard(1))
    var zeroed = first
    zeroed.replaceSubrange(4096..<8192, with: repeatElement(0, count: 4096))
    try write(zeroed, path + shard(0))
    #expect(complaints(path).contains("shard 0"))
    var mixed = first
    mixed.replaceSubrange(4096..<8192, with: second[4096..<8192])
    try write(mixed, path + shard(0))
    #expect(complaints(path).contains("shard 0"))
  }

  @Test func findsMisplacedShards() throws {
    let run = try TemporaryRun(inMemory: true)
    let other = try TemporaryRun(inMemory: true)
    try run.save(sample, step: 5)
    try run.save(sample, step: 6)
    try other.save(sample, step: 5, runID: "run2")
    let path = run.stepPath(5)
    let (first, second) = (try bytes(path + shard(0)), try bytes(path + shard(1)))

    try write(second, path + shard(0))
    try write(first, path + shard(1))
    let swapped = message {
      let problems = try CheckpointReader(path: path).verify()
      throw CheckpointError.damaged(path: path, problems: problems)
    }
    #expect(swapped.contains("it is shard 1 of 2 of step 5 of run run1"), "\(swapped)")
    #expect(swapped.contains("it is shard 0 of 2 of step 5 of run run1"), "all in one pass")

    try write(second, path + shard(1))
    try write(bytes(run.stepPath(6) + shard(0)), path + shard(0))
    #expect(complaints(path).contains("it is shard 0 of 2 of step 6 of run run1"))
    try write(bytes(other.stepPath(5) + shard(0)), path + shard(0))
    #expect(complaints(path).contains("it is shard 0 of 2 of step 5 of run run2"))

    try FileManager.default.removeItem(atPath: path + shard(0))
    #expect(complaints(path).contains("shard 0 of 2 of step 5 is missing"))
    try write(first, path + shard(0))
    #expect(complaints(path) == "")
    try write(first, path + shard(2, of: 4))
    #expect(complaints(path).contains("\(shard(2, of: 4).dropFirst()): is not a shard of step 5"))
  }

  @Test func findsMisplacedCheckpoints() throws {
    let run = try TemporaryRun(inMemory: true)
    try run.save(sample, step: 5)
    #expect(complaints(run.stepPath(5), runID: "run2").contains("is run1, this run is run2"))
    try FileManager.default.moveItem(atPath: run.stepPath(5), toPath: run.stepPath(7))
    #expect(complaints(run.stepPath(7)).contains("step: is 5, not the directory's"))
  }

  @Test func fallsBackToTheNewestGoodOne() throws {
    let run = try TemporaryRun(inMemory: true)
    #expect(try CheckpointCatalog.latestValid(in: run.path).reader == nil)
    for step in 1...4 { try run.save(sample, step: step) }
    try FileManager.default.removeItem(atPath: run.stepPath(4) + "/manifest.json")
    var bad = try bytes(run.stepPath(3) + shard(1))
    bad[bad.count / 2] ^= 1
    try write(bad, run.stepPath(3) + shard(1))
    let selection = try CheckpointCatalog.latestValid(in: run.path, runID: "run1")
    #expect(selection.reader?.manifest.step == 2)
    #expect(selection.rejected.map(\.step) == [4, 3])
    #expect(selection.rejected[0].description.contains("manifest.json"))
    #expect(selection.rejected[1].description.contains("shard-00001-of-00002"))
  }

  /// A busy or failing machine says nothing about a checkpoint: nobody goes back to an older one.
  @Test(arguments: [EMFILE, ESTALE, EIO, EACCES])
  func whatCannotBeReadIsNotDamaged(code: Int32) throws {
    let run = try TemporaryRun(inMemory: true)
    for step in 1...2 { try run.save(sample, step: step) }
    for name in ["/manifest.json", shard(0), shard(1)] {
      let path = run.stepPath(2) + name
      let failure = CheckpointError.file(.io(path: path, operation: "open", code: code))
      let faults = FileFaults { call, opened in
        call == .open && opened == path ? .fail(code) : nil
      }
      try faults.during { () throws in
        #expect(throws: failure) { try CheckpointCatalog.latestValid(in: run.path) }
        #expect(throws: failure) { try CheckpointCatalog.problems(at: run.stepPath(2)) }
        #expect(throws: failure) { try readAll(CheckpointReader(path: run.stepPath(2))) }
        #expect(try CheckpointCatalog.entries(in: run.path).map(\.step) == [2, 1])
      }
      #expect(failure.exitCode == 74)
    }
    let selection = try CheckpointCatalog.latestValid(in: run.path)
    #expect(selection.reader?.manifest.step == 2)
  }

  /// An unreadable directory is not an empty one: the run would begin again and drop its metrics.
  @Test func aDirectoryThatCannotBeReadHoldsNoLess() throws {
    let run = try TemporaryRun(inMemory: true)
    try run.save(sample, step: 1)
    try FileFaults { call, path in
      call == .list && path == run.checkpoints ? .fail(EACCES) : nil
    }.during { () throws in
      #expect(throws: CheckpointError.self) { try CheckpointCatalog.entries(in: run.path) }
      #expect(throws: CheckpointError.self) { try CheckpointCatalog.latestValid(in: run.path) }
    }
    let broken = try TemporaryRun()
    try FileManager.default.createSymbolicLink(
      atPath: broken.checkpoints, withDestinationPath: "checkpoints")
    #expect(throws: CheckpointError.self) { try CheckpointCatalog.entries(in: broken.path) }
    #expect(try CheckpointCatalog.entries(in: broken.path + "/nothing") == [])
  }

  /// A manifest whose checksum is right may still ask for nonsense.
  @Test(arguments: [
    ("\"statex-checkpoint/1\"", "\"statex-checkpoint/2\"", "format"),
    ("\"shape\": [63]", "\"shape\": [64]", ""),
    ("\"shape\": [63]", "\"shape\": [163]", "offset"),
    ("\"shape\": [63]", "\"shape\": [4611686018427387904, 4]", "shape"),
    ("\"shape\": [63]", "\"shape\": [-63]", "shape"),
    ("\"layers.1.w\"", "\"layers.0.w\"", "occurs twice"),
    ("\"layers.1.w\"", "\"layers.1.w[0:16]\"", "without bracket"),
    ("\"step\": 5,", "\"step\": 6,", "step"),
    ("\"step\": 5,", "\"step\": -5,", "manifest.json: `step`: must be at least 0, found -5"),
    ("\"step\": 5,", "\"step\": 5.5,", "`step`: expected an integer, found the number 5.5"),
    ("\"step\": 5,", "\"step\": 9223372036854775807,", "`step`: must be at most 281474976710656"),
    ("\"step\": 5,", "\"step\": 92233720368547758080,", "`step`: must be at most 281474976710656"),
    (
      "\"bytes\": ", "\"bytes\": 99999999999999", "`shards.0.bytes`: must be at most 70368744177664"
    ),
    ("\"step\": 5,", "\"step\": 5, \"step\": 5,", "duplicate key"),
    ("\"index\": 1,", "\"index\": 0,", "shards.1"),
    ("shard-00001-of-00002.safetensors.zst", "../../../../etc/passwd", "shards.1"),
    ("\"elements\": ", "\"elements\": 1", "elements"),
    ("\"raw_bytes\": ", "\"raw_bytes\": 1", ""),
    ("\"exp_avg\"", "\"parameters\"", "stores"),
    ("\"exp_avg\"", "\"exp_avg/2\"", "stores"),
    ("\"exp_avg\"", "\"exp_avh\"", "another header"),
    ("\"F32\"", "\"BF16\"", "raw_bytes"),
    ("\"F32\"", "\"F64\"", "dtype"),
    ("\"unit\": 16", "\"unit\": 32", ""),
    ("\"unit\": 16", "\"unit\": 0", "partition"),
    ("\"bucket\": 4194304", "\"bucket\": 16", "raw_bytes"),
    ("\"bucket\": 4194304", "\"bucket\": 24", "partition"),
  ])
  func refusesAManifest(_ text: String, _ replacement: String, _ reason: String) throws {
    let run = try TemporaryRun(inMemory: true)
    try run.save(sample, step: 5)
    let path = run.stepPath(5) + "/manifest.json"
    let manifest = String(decoding: try bytes(path), as: UTF8.self)
    #expect(manifest.contains(text))
    try write(signed(manifest.replacingOccurrences(of: text, with: replacement)), path)
    let complaint = complaints(run.stepPath(5))
    if reason.isEmpty {  // without effect on the arena, or only a total
      #expect(complaint.isEmpty || complaint.contains("shard"), "\(complaint)")
    } else {
      #expect(complaint.contains(reason), "\(complaint)")
    }
  }

  /// Manifests that were damaged and then signed: refused or harmless, but never a crash.
  @Test func survivesMutatedManifests() throws {
    let run = try TemporaryRun(inMemory: true)
    try run.save(Sample(sizes: [[70], [5, 5]], seed: 1), step: 5)
    let path = run.stepPath(5) + "/manifest.json"
    let good = try bytes(path)
    var random = CounterRandom(seed: 1, purpose: "manifests")
    let alphabet = Array("0123456789-{}[],:\"e. ".utf8)
    var refused = 0
    for _ in 0..<3000 {
      var bad = good
      for _ in 0..<(1 + random.below(3)) {
        let i = random.below(bad.count - 24)
        let byte = alphabet[random.below(alphabet.count)]
        if random.below(2) == 0 { bad[i] = byte } else { bad.insert(byte, at: i) }
      }
      try write(signed(String(decoding: bad, as: UTF8.self)), path)
      refused += complaints(run.stepPath(5), runID: nil).isEmpty ? 0 : 1
    }
    #expect(refused > 1000)
  }

  /// Good shards with the right header and size, but other values: only the hash tells.
  @Test func findsForeignValues() throws {
    let run = try TemporaryRun(inMemory: true)
    let other = try TemporaryRun(inMemory: true)
    try run.save(Sample(sizes: [[5]], seed: 1), step: 5, shards: 1)
    let own = try bytes(run.stepPath(5) + shard(0, of: 1))
    var foreign = own
    for seed in UInt64(2)..<60 where foreign == own {
      try other.save(Sample(sizes: [[5]], seed: seed), step: 5, shards: 1)
      let shard = try bytes(other.stepPath(5) + shard(0, of: 1))
      if shard.count == own.count { foreign = shard }
    }
    try #require(foreign != own && foreign.count == own.count)
    try write(foreign, run.stepPath(5) + shard(0, of: 1))
    #expect(complaints(run.stepPath(5)).contains("does not have the hash"))
  }

  /// The manifest with its checksum made right, as docs/checkpoint-format.md defines it.
  private func signed(_ manifest: String) -> [UInt8] {
    var bytes = Array(manifest.utf8)
    let digits = (bytes.count - 20)..<(bytes.count - 4)
    bytes.replaceSubrange(digits, with: repeatElement(0x30, count: 16))
    let checksum = bytes.withUnsafeBytes { XXH64.hash($0) }
    bytes.replaceSubrange(digits, with: XXH64.hexadecimal(checksum).utf8)
    return bytes
  }
}
