import Checkpointing
import Files
import Foundation
import JSON
import TensorStorage
import Testing

/// A run directory that disappears with its owner.
final class TemporaryRun {
  let path: String
  var checkpoints: String { path + "/checkpoints" }

  // In memory, if there is a file system for it, a sync is free.
  init(inMemory: Bool = false) throws {
    let memory = "/dev/shm"
    let useMemory = inMemory && FileManager.default.isWritableFile(atPath: memory)
    let parent = useMemory ? memory : FileManager.default.temporaryDirectory.path
    path = parent + "/run " + UUID().uuidString
    try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true)
  }

  deinit { try? FileManager.default.removeItem(atPath: path) }

  /// The names in `checkpoints`.
  func names() throws -> [String] {
    guard FileManager.default.fileExists(atPath: checkpoints) else { return [] }
    return try FileManager.default.contentsOfDirectory(atPath: checkpoints).sorted()
  }

  func stepPath(_ step: Int) -> String {
    let digits = String(step)
    return checkpoints + "/step-" + String(repeating: "0", count: 8 - digits.count) + digits
  }
}

/// A model's worth of values of odd sizes.
struct Sample {
  static let storeNames = ["parameters", "exp_avg", "exp_avg_sq"]

  /// Units of one alignment, so that small samples are divided too.
  static let grain = ArenaPartition.Grain(bucket: 1 << 22, unit: 16)

  let layout: ParameterLayout
  let buffers: [FloatBuffer]
  let grain: ArenaPartition.Grain

  /// Values that are a function of `seed`.
  init(
    sizes: [[Int]] = [[1], [63], [5, 13], [100], [0], [16], [7, 31, 3], [], [1000]], seed: UInt64,
    grain: ArenaPartition.Grain = Self.grain
  ) {
    self.grain = grain
    var layout = ParameterLayout()
    for (i, shape) in sizes.enumerated() { layout.append(name: "layers.\(i).w", shape: shape) }
    self.layout = layout
    buffers = Self.storeNames.map { name in
      let values = FloatBuffer(count: layout.count)
      for slot in layout.slots {
        ParameterInitializer.normal(standardDeviation: 0.02).fill(
          UnsafeMutableBufferPointer(rebasing: values.elements[slot.range]), shape: slot.shape,
          name: name + slot.name, seed: seed)
      }
      return values
    }
  }

  var stores: [CheckpointStore] {
    zip(Self.storeNames, buffers).map { CheckpointStore($0, $1) }
  }

  func contents(step: Int) -> CheckpointContents {
    CheckpointContents(
      step: step, layout: layout, stores: stores,
      training: .object([
        JSONMember("step", .integer(step)), JSONMember("seed", .integer(UInt64.max)),
      ]),
      creation: CheckpointCreation(host: "here", ranks: 1, openBLAS: "SkylakeX", products: "fp32"),
      grain: grain)
  }

  /// All values as they should be read back.
  var arrays: [[Float]] { buffers.map { $0.array() } }
}

extension TemporaryRun {
  @discardableResult
  func save(
    _ sample: Sample, step: Int, shards: Int = 2, keep: Int = 10, runID: String = "run1",
    hook: FileFaults.Hook? = nil
  ) throws -> SaveReport {
    let writer = try CheckpointWriter(run: path, runID: runID, retention: Retention(newest: keep))
    return try FileFaults(hook ?? { _, _ in nil }).during {
      try writer.save(sample.contents(step: step), coordination: SingleProcess(shards: shards))
    }
  }
}

/// Everything that a checkpoint holds, read into buffers that are dirty before.
func readAll(_ reader: CheckpointReader) throws -> [[Float]] {
  try Sample.storeNames.map { name in
    let buffer = FloatBuffer(count: reader.manifest.layout.count)
    buffer.fill(.nan)
    try reader.read(into: CheckpointStore(name, buffer))
    return buffer.array()
  }
}

/// The message of the error that `body` throws; empty if it does not.
func message(_ body: () throws -> Void) -> String {
  do {
    try body()
    return ""
  } catch {
    return "\(error)"
  }
}

/// What opening, verifying or reading says about a checkpoint; empty if it is good.
func complaints(_ path: String, runID: String? = "run1") -> String {
  message {
    let reader = try CheckpointReader(path: path, runID: runID)
    let problems = try reader.verify()
    if !problems.isEmpty { throw CheckpointError.damaged(path: path, problems: problems) }
    // Reading must never be more trusting than verifying.
    _ = try readAll(reader)
  }
}

func bytes(_ path: String) throws -> [UInt8] {
  try [UInt8](Data(contentsOf: URL(fileURLWithPath: path)))
}

func write(_ bytes: [UInt8], _ path: String) throws {
  try Data(bytes).write(to: URL(fileURLWithPath: path))
}
