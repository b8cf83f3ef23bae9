import Checkpointing
import Compression
import Files
import Foundation
import JSON
import TensorFiles
import TensorStorage
import Testing

@Suite struct RoundTripTests {
  @Test(arguments: 1...8)
  func savesOnAnyNumberOfRanks(_ shards: Int) throws {
    let run = try TemporaryRun()
    let sample = Sample(seed: 7)
    let report = try run.save(sample, step: 1000, shards: shards)
    #expect(report.path == run.stepPath(1000))
    let reader = try CheckpointReader(path: report.path, runID: "run1")
    #expect(try reader.verify(contents: true) == [])
    #expect(reader.manifest.shards.count == shards)
    #expect(reader.manifest.training["seed"]?.integer(as: UInt64.self) == .max)
    #expect(reader.manifest.creation.openBLAS == "SkylakeX")
    #expect(reader.manifest.creation.products == "fp32")
    try reader.require(sample.layout)
    #expect(try readAll(reader) == sample.arrays)
    for ranks in [1, 3, 8, 20] { try readInParts(reader, ranks, sample) }
  }

  private func readInParts(_ reader: CheckpointReader, _ ranks: Int, _ sample: Sample) throws {
    for rank in 0..<ranks {
      for range in sample.partition(ranks).ranges(of: rank) {
        let values = FloatBuffer(count: range.count)
        try reader.read(
          into: CheckpointStore("exp_avg", values, firstElement: range.lowerBound))
        #expect(values.array() == Array(sample.arrays[1][range]))
      }
    }
  }

  @Test func readsUnalignedRanges() throws {
    let run = try TemporaryRun()
    let sample = Sample(seed: 3)
    let reader = try CheckpointReader(path: try run.save(sample, step: 1, shards: 3).path)
    let values = FloatBuffer(count: sample.layout.count)
    let whole = CheckpointStore("parameters", values)
    for range in [0..<0, 0..<1, 15..<17, 63..<200, 333..<1001] {
      values.fill(9)
      try reader.read(into: whole, range: range)
      var expected = [Float](repeating: 9, count: sample.layout.count)
      expected.replaceSubrange(range, with: sample.arrays[0][range])
      #expect(values.array() == expected, "\(range)")
    }
  }

  @Test(arguments: [[[1]], [[63]], [[65]], [[100]], [[16], [16]], [[2, 3], [1]], []])
  func oddLayouts(_ sizes: [[Int]]) throws {
    let run = try TemporaryRun()
    let sample = Sample(sizes: sizes, seed: 1)
    for shards in [1, 2, 5] {
      try run.save(sample, step: shards, shards: shards)
      let reader = try CheckpointReader(path: run.stepPath(shards))
      #expect(try reader.verify(contents: true) == [])
      #expect(try readAll(reader) == sample.arrays)
    }
  }

  @Test func manyFrames() throws {
    let run = try TemporaryRun()
    let sample = Sample(sizes: [[100], [1_500, 1_001], [77], [1_000_003]], seed: 1)
    try run.save(sample, step: 1, shards: 2)
    let reader = try CheckpointReader(path: run.stepPath(1))
    #expect(try reader.verify(contents: true) == [])
    #expect(try readAll(reader) == sample.arrays)
  }

  /// Tensors that are cut into several of the shard's, and ranges that begin and end inside them.
  @Test(arguments: [1, 2])
  func longTensors(_ shards: Int) throws {
    let run = try TemporaryRun()
    let sample = Sample(sizes: [[63], [4_194_307], [5, 13]], seed: 3)
    try run.save(sample, step: 1, shards: shards)
    let reader = try CheckpointReader(path: run.stepPath(1))
    #expect(try reader.verify(contents: true) == [])
    #expect(try readAll(reader) == sample.arrays)
    for range in [1..<2, 2_097_200..<2_097_301, 2_000_001..<4_194_311] {
      let part = FloatBuffer(count: range.count)
      part.fill(.nan)
      try reader.read(
        into: CheckpointStore("exp_avg", part, firstElement: range.lowerBound), range: range)
      #expect(part.array() == Array(sample.arrays[1][range]))
    }
  }

  /// What older versions wrote: values as they are.
  @Test func readsPlainShards() throws {
    let run = try TemporaryRun()
    let sample = Sample(seed: 4)
    let writer = try CheckpointWriter(
      run: run.path, runID: "run1", retention: Retention(newest: 1), encoding: .plain)
    _ = try writer.save(sample.contents(step: 7), coordination: SingleProcess(shards: 3))
    #expect(complaints(run.stepPath(7)) == "")
    let reader = try CheckpointReader(path: run.stepPath(7))
    #expect(try reader.verify(contents: true) == [])
    #expect(try readAll(reader) == sample.arrays)
    let manifest = String(decoding: try bytes(run.stepPath(7) + "/manifest.json"), as: UTF8.self)
    #expect(!manifest.contains("encoding"))
  }

  /// Normally distributed values, as weights are: what the format is for.
  @Test func sizes() throws {
    let run = try TemporaryRun()
    let sample = Sample(sizes: [[1_500_000]], seed: 5)
    let path = try run.save(sample, step: 1, shards: 1).path
    let shard = try CheckpointReader(path: path).manifest.shards[0]
    let ratio = Double(shard.byteCount) / Double(shard.rawByteCount)
    #expect(ratio <= 0.86, "\(ratio)")
    let half = BFloat16Buffer(count: sample.layout.count)
    for i in 0..<half.count { half.pointer[i] = BFloat16(sample.buffers[0].pointer[i]) }
    let store = CheckpointStore(
      "exp_avg", dataType: .bfloat16, covered: nil,
      parts: [.init(0..<half.count, at: UnsafeMutableRawPointer(half.pointer))], owner: half)
    let contents = CheckpointContents(
      step: 2, layout: sample.layout, stores: [store], training: .null,
      creation: CheckpointCreation(host: "here", ranks: 1), grain: sample.grain)
    let writer = try CheckpointWriter(
      run: run.path, runID: "run1", retention: Retention(newest: 9))
    let halfPath = try writer.save(contents).path
    let halfShard = try CheckpointReader(path: halfPath).manifest.shards[0]
    let halfRatio = Double(halfShard.byteCount) / Double(halfShard.rawByteCount)
    #expect(halfRatio <= 0.69, "\(halfRatio)")
  }

  /// Each rank only holds its own parts, as with a sharded optimizer, of one bucket or of many.
  @Test(arguments: [Sample.grain, .init(bucket: 64, unit: 16), .init(bucket: 96, unit: 32)])
  func savesFromPartialBuffers(_ grain: ArenaPartition.Grain) throws {
    let run = try TemporaryRun()
    let sample = Sample(seed: 5, grain: grain)
    let results = onThreads(3) { coordination in
      let ranges = sample.partition(3).ranges(of: coordination.localShards.lowerBound)
      let stores = zip(Sample.storeNames, sample.buffers).map { name, values in
        CheckpointStore(name, values, ranges)
      }
      let whole = sample.contents(step: 4)
      _ = try CheckpointWriter(run: run.path, runID: "run1", retention: Retention(newest: 1)).save(
        CheckpointContents(
          step: 4, layout: sample.layout, stores: stores, training: whole.training,
          creation: whole.creation, grain: grain), coordination: coordination)
    }
    #expect(results.allSatisfy { $0.isEmpty }, "\(results)")
    let reader = try CheckpointReader(path: run.stepPath(4))
    #expect(try reader.verify(contents: true) == [])
    #expect(try readAll(reader) == sample.arrays)
    for ranks in [1, 2, 5] { try readInParts(reader, ranks, sample) }
  }

  /// Moments of the tensors that are trained only, in half precision.
  @Test(arguments: [1, 3])
  func shortAndHalfStores(_ shards: Int) throws {
    let run = try TemporaryRun()
    let sample = Sample(seed: 5)
    let end = try #require(sample.layout.slots.last?.offset)
    let half = BFloat16Buffer(count: end)
    for i in 0..<end { half.pointer[i] = BFloat16(sample.buffers[1].pointer[i]) }
    func store(_ buffer: BFloat16Buffer, count: Int) -> CheckpointStore {
      CheckpointStore(
        "exp_avg", dataType: .bfloat16, covered: 0..<count,
        parts: [.init(0..<count, at: UnsafeMutableRawPointer(buffer.pointer))], owner: buffer)
    }
    /// The last tensor's values only.
    func lateStore(_ buffer: FloatBuffer) -> CheckpointStore {
      let range = end..<sample.layout.count
      return CheckpointStore(
        "states", dataType: .float32, covered: range,
        parts: [.init(range, at: UnsafeMutableRawPointer(buffer.pointer))], owner: buffer)
    }
    let tail = FloatBuffer(count: sample.layout.count - end)
    for i in 0..<tail.count { tail.pointer[i] = sample.buffers[2].pointer[end + i] }
    func contents(_ moment: CheckpointStore) -> CheckpointContents {
      CheckpointContents(
        step: 4, layout: sample.layout, stores: [sample.stores[0], moment, lateStore(tail)],
        training: .null,
        creation: CheckpointCreation(host: "here", ranks: 1), grain: sample.grain)
    }
    let writer = try CheckpointWriter(run: run.path, runID: "run1", retention: Retention(newest: 1))
    try writer.save(
      contents(store(half, count: end)), coordination: SingleProcess(shards: shards))
    let reader = try CheckpointReader(path: run.stepPath(4))
    #expect(try reader.verify(contents: true) == [])
    let total = sample.layout.count
    #expect(reader.manifest.stores.map(\.covered) == [0..<total, 0..<end, end..<total])
    let late = FloatBuffer(count: total - end)
    try reader.read(into: lateStore(late))
    #expect(late.array() == Array(sample.buffers[2].array()[end...]))
    let again = BFloat16Buffer(count: end)
    for i in 0..<end { again.pointer[i] = BFloat16(9) }
    try reader.read(into: store(again, count: end))
    #expect((0..<end).allSatisfy { again.pointer[$0] == half.pointer[$0] })
    let wrong = message {
      try reader.read(into: CheckpointStore("exp_avg", FloatBuffer(count: sample.layout.count)))
    }
    #expect(wrong.contains("exp_avg is \(end) x BF16, not \(sample.layout.count) x F32"))
    let cut = message { try writer.save(contents(store(half, count: end - 3))) }
    #expect(cut.contains("\(end - 3) x BF16 cannot be stored"))
  }

  @Test func isReproducible() throws {
    let run = try TemporaryRun()
    let sample = Sample(seed: 5)
    let files = ["manifest.json", "shard-00000-of-00001.safetensors.zst"]
    try run.save(sample, step: 4, shards: 1)
    let first = try files.map { try bytes(run.stepPath(4) + "/" + $0) }
    try run.save(sample, step: 4, shards: 1)
    #expect(try files.map { try bytes(run.stepPath(4) + "/" + $0) } == first)
  }

  /// A shard is a plain safetensors file after `zstd -d`.
  @Test func shardsAreSafetensors() throws {
    let run = try TemporaryRun()
    let sample = Sample(seed: 2)
    try run.save(sample, step: 12, shards: 2)
    var seen: [String: [Float]] = [:]
    for shard in 0..<2 {
      let name = "shard-0000\(shard)-of-00002.safetensors"
      let plain = run.path + "/" + name
      try zstd(["-dq", run.stepPath(12) + "/" + name + ".zst", "-o", plain])
      let file = try MappedFile(path: plain)
      let header = try SafetensorsHeader(file)
      let record = try CheckpointReader(path: run.stepPath(12)).manifest.shards[shard]
      #expect(record.rawByteCount == file.byteCount)
      #expect(record.rawHash == XXH64.hash(file.bytes))
      #expect(
        header.metadata == [
          "format": "pt", "statex_format": "statex-shard/2", "run_id": "run1", "step": "12",
          "shard": "\(shard)", "shards": "2",
        ])
      for tensor in header.tensors {
        let count = tensor.count / 4
        #expect(tensor.dataType == .uint8 && tensor.shape == [4, count])
        let groups = try file.slice(header.fileRange(of: tensor), field: tensor.name)
        seen[tensor.name] = (0..<count).map { i in
          let bits = (0..<4).reduce(UInt32(0)) { $0 | UInt32(groups[$1 * count + i]) << (8 * $1) }
          return Float(bitPattern: bits)
        }
      }
    }
    let slot = try #require(sample.layout["layers.1.w"])
    #expect(seen["exp_avg/layers.1.w"] == Array(sample.arrays[1][slot.range]))
    let split = seen.keys.filter { $0.hasPrefix("parameters/layers.8.w[") }.sorted()
    #expect(split.count == 2 && split.first?.hasPrefix("parameters/layers.8.w[0:") == true)
    let large = try #require(sample.layout["layers.8.w"])
    #expect(split.flatMap { seen[$0] ?? [] } == Array(sample.arrays[0][large.range]))
  }

  private func zstd(_ arguments: [String]) throws {
    let process = Process()
    process.executableURL = URL(fileURLWithPath: "/usr/bin/env")
    process.arguments = ["zstd"] + arguments
    try process.run()
    process.waitUntilExit()
    try #require(process.terminationStatus == 0)
  }

  @Test func refusesAnotherLayout() throws {
    let run = try TemporaryRun()
    try run.save(Sample(sizes: [[2, 3], [4]], seed: 1), step: 1)
    let reader = try CheckpointReader(path: run.stepPath(1))
    let other = Sample(sizes: [[2, 3], [5]], seed: 1).layout
    #expect(
      message { try reader.require(other) }
        .contains("the checkpoint has layers.1.w [4], the model layers.1.w [5]"))
    let longer = Sample(sizes: [[2, 3], [4], [1]], seed: 1).layout
    #expect(message { try reader.require(longer) }.contains("no more tensors"))
    #expect(
      message { try reader.read(into: CheckpointStore("momentum", FloatBuffer(count: 1))) }
        .contains("there is no momentum"))
  }
}

extension Sample {
  /// Who holds what when `ranks` share the values.
  func partition(_ ranks: Int) -> ArenaPartition {
    ArenaPartition(count: layout.count, parts: ranks, grain: grain)
  }
}

extension CheckpointStore {
  /// Only the elements `ranges` of `values`, copied one after the other.
  fileprivate init(_ name: String, _ values: FloatBuffer, _ ranges: [Range<Int>]) {
    let copy = FloatBuffer(count: ranges.reduce(0) { $0 + $1.count })
    var parts: [Part] = []
    var first = 0
    for range in ranges {
      (copy.pointer + first).update(from: values.pointer + range.lowerBound, count: range.count)
      parts.append(Part(range, at: UnsafeMutableRawPointer(copy.pointer + first)))
      first += range.count
    }
    self.init(name, dataType: .float32, covered: nil, parts: parts, owner: copy)
  }
}
