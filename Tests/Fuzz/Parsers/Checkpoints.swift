import Checkpointing
import Compression
import Foundation
import JSON
import TensorStorage
import Training

/// A saved checkpoint: its manifest and its one shard.
private struct SavedCheckpoint {
  let path, manifestPath, shardPath: String
  let manifest, shard: [UInt8]
  let layout: ParameterLayout
  private let hash: String

  init(_ room: FuzzRoom, _ encoding: ShardEncoding = .byteGroups) throws {
    let run = try room.directory("run")
    var layout = ParameterLayout()
    for (index, shape) in [[3], [5, 13], [], [0], [40, 3]].enumerated() {
      layout.append(name: "layers.\(index).w", shape: shape)
    }
    self.layout = layout
    let values = FloatBuffer(count: layout.count)
    values.fill(0.125)
    let writer = try CheckpointWriter(
      run: run, runID: "run1", retention: Retention(newest: 1), encoding: encoding)
    path = try writer.save(
      CheckpointContents(
        step: 5, layout: layout,
        stores: [CheckpointStore("parameters", values), CheckpointStore("exp_avg", values)],
        training: .object([JSONMember("step", .integer(5))]),
        creation: CheckpointCreation(host: "here", ranks: 1, openBLAS: "SkylakeX"),
        grain: ArenaPartition.Grain(bucket: 1 << 22, unit: 16))
    ).path
    manifestPath = path + "/manifest.json"
    shardPath = path + "/shard-00000-of-00001.safetensors.zst"
    manifest = [UInt8](try Data(contentsOf: URL(fileURLWithPath: manifestPath)))
    shard = [UInt8](try Data(contentsOf: URL(fileURLWithPath: shardPath)))
    hash = XXH64.hexadecimal(shard.withUnsafeBytes { XXH64.hash($0) })
  }

  /// The manifest of another shard.
  func manifest(of shard: [UInt8], raw: [UInt8]? = nil) -> [UInt8] {
    var text = manifest.text.replacingOccurrences(
      of: hash, with: XXH64.hexadecimal(shard.withUnsafeBytes { XXH64.hash($0) }))
    text = text.replacingOccurrences(
      of: "\"bytes\": \(self.shard.count)", with: "\"bytes\": \(shard.count)")
    var bytes = Array(text.utf8)
    Self.mend(&bytes)
    return bytes
  }

  /// Opens, verifies and reads everything.
  func use() throws {
    let reader = try CheckpointReader(path: path)
    let problems = try reader.verify()
    if !problems.isEmpty { throw CheckpointError.damaged(path: path, problems: problems) }
    for record in reader.manifest.stores where record.dataType == .float32 {
      guard record.covered == 0..<reader.manifest.layout.count, record.covered.count < 1 << 20
      else { continue }
      try reader.read(
        into: CheckpointStore(record.name, FloatBuffer(count: record.covered.count)))
    }
  }

  /// Puts the right checksum into a manifest that ends with one.
  static func mend(_ bytes: inout [UInt8]) {
    let end = bytes.count - 4
    guard end >= 16, bytes[end...].elementsEqual("\"\n}\n".utf8) else { return }
    bytes.replaceSubrange((end - 16)..<end, with: [UInt8](repeating: 0x30, count: 16))
    let sum = XXH64.hexadecimal(bytes.withUnsafeBytes { XXH64.hash($0) })
    bytes.replaceSubrange((end - 16)..<end, with: sum.utf8)
  }
}

/// Lines or tensors as one zstd frame each 8 MiB.
func zstdFrames(_ bytes: [UInt8]) throws -> [UInt8] {
  let compressor = try FrameCompressor(level: 1)
  return try bytes.withUnsafeBytes { bytes in
    var rest = bytes
    var result: [UInt8] = []
    while let frame = try compressor.next(&rest) { result += frame }
    if let frame = try compressor.finish() { result += frame }
    return result
  }
}

extension FuzzTarget {
  /// `manifest.json`, its checksum always right.
  static var manifest: FuzzTarget {
    FuzzTarget("manifest") { room in
      let saved = try SavedCheckpoint(room)
      return Prepared(
        corpus: [saved.manifest],
        words: [
          "281474976710656", "70368744177664", "\"bfloat16\"", "\"byte-groups\"", "\"plain\"",
        ],
        mend: SavedCheckpoint.mend
      ) { input in
        try room.write(input, room.local(saved.manifestPath))
        try saved.use()
      }
    }
  }

  /// A shard of today's encoding, its hash always right.
  static var shard: FuzzTarget { shard("shard", .byteGroups) }

  /// A shard of the first encoding.
  static var plainShard: FuzzTarget { shard("plain-shard", .plain) }

  private static func shard(_ name: String, _ encoding: ShardEncoding) -> FuzzTarget {
    FuzzTarget(name) { room in
      let saved = try SavedCheckpoint(room, encoding)
      return Prepared(corpus: [saved.shard]) { input in
        try room.write(input, room.local(saved.shardPath))
        try room.write(saved.manifest(of: input), room.local(saved.manifestPath))
        try saved.use()
      }
    }
  }

  /// What is inside a shard's frames.
  static var shardContents: FuzzTarget {
    FuzzTarget("shard-contents") { room in
      let saved = try SavedCheckpoint(room)
      let frames = try saved.shard.withUnsafeBytes {
        try FrameDecompressor.frames(in: $0, contentByteCount: nil)
      }
      var contents = [UInt8](repeating: 0, count: frames.last?.contentRange.upperBound ?? 0)
      let decompressor = try FrameDecompressor()
      for frame in frames {
        try saved.shard.withUnsafeBytes { bytes in
          try contents.withUnsafeMutableBytes {
            try decompressor.decompress(
              UnsafeRawBufferPointer(rebasing: bytes[frame.compressedRange]),
              into: UnsafeMutableRawBufferPointer(rebasing: $0[frame.contentRange]))
          }
        }
      }
      return Prepared(corpus: [contents], words: ["statex-shard/1", "run_id", "\"shards\""]) {
        input in
        let shard = try zstdFrames(input)
        try room.write(shard, room.local(saved.shardPath))
        try room.write(saved.manifest(of: shard), room.local(saved.manifestPath))
        try saved.use()
      }
    }
  }

  /// What the trainer stored in a manifest.
  static var trainingRecord: FuzzTarget {
    FuzzTarget("training-record") { _ in
      let record = """
        {"version": 3, "step": 7, "tokens": 3584, "learning_rate": 0.001, "loss": 2.5,
         "identity": {"data.sequence_length": "64"},
         "sources": [{"content": "task mqar", "name": "mqar"}],
         "phases": [{"first_sample": 0, "weights": [1.0]}],
         "recipe": {"train.steps": "20"}, "environment": {"ranks": "2"},
         "spikes": {"losses": [2.5, 2.4], "spikes": [5], "left_out": [{"after": 3, "batches": 2}]}}
        """
      let first = """
        {"step": 7, "tokens": 3584, "identity": {"the number of data.sources": "1",
         "data.sources.0": "mqar", "data.sources.0.weight": "1.0"}}
        """
      return Prepared(corpus: [record, first].map { Array($0.utf8) }) { input in
        let json = try input.withUnsafeBytes { try JSONValue(parsing: $0, source: "manifest") }
        let record = try TrainingRecord(json, path: "manifest.json")
        _ = (record.json, record.spikes.batch(ofStep: record.step))
        _ = record.spikes.goingBack(from: record.step, to: 1, losses: [])
        _ = record.spikes.deviation(of: 1, window: 2)
      }
    }
  }
}
