import ChildPrograms
import Foundation
import Testing

extension DistributedTests {
  /// Training the expanded layers only.
  @Suite("frozen parameters")
  struct FrozenTests {
    private static let expansion = "expansion={layers: [1], heads: 1}"
    private static let expanded = "train.trainable=expanded"

    /// Names of tensors that differ between two exports.
    private func changed(_ first: String, _ second: String) throws -> Set<String> {
      let (a, b) = (try SafetensorsFile(first), try SafetensorsFile(second))
      #expect(Set(a.tensors.keys) == Set(b.tensors.keys))
      return Set(a.tensors.keys.filter { a.tensors[$0] != b.tensors[$0] })
    }

    @Test(
      "only expanded layers change; the rest is byte-identical in the export",
      arguments: [TrainingJob.Launch.alone, .ranks(3)])
    func export(_ launch: TrainingJob.Launch) throws {
      let job = try TrainingJob()
      let start = try job.makeModel()
      try job.useModel(start)
      _ = try job.finish(launch, run: "run", [Self.expansion, Self.expanded])
      let export = job.output("run") + "/export"
      let difference = try changed(start, export)
      #expect(!difference.isEmpty && difference.allSatisfy { $0.hasPrefix("model.layers.1.") })
      #expect(
        difference.contains { $0.contains(".mlp.") }
          && difference.contains { $0.contains("_norm.") })
      // The export says which layers are expanded: a run on it needs no expansion.
      try job.useModel(export)
      _ = try job.finish(launch, run: "again", [Self.expanded])
      let second = try changed(export, job.output("again") + "/export")
      #expect(!second.isEmpty && second.allSatisfy { $0.hasPrefix("model.layers.1.") })
    }

    @Test(
      "the same bits on any number of ranks, sharded or not",
      arguments: [
        [expansion], [expansion, "train.segment_length=24"],
        ["expansion={layers: [0], init: preserve, heads: 1}", "train.optimizer.moments=bf16"],
        [TrainingJob.mamba2, "expansion={layers: [1], state_factor: 2}"],
      ])
    func ranks(_ settings: [String]) throws {
      let job = try TrainingJob(["train.steps=3", Self.expanded] + settings)
      let reference = try job.finish(.alone, run: "alone")
      for (ranks, arguments) in [
        (2, []), (3, ["parallel.optimizer_sharding=zero1"]), (4, ["parallel.overlap=false"]),
      ] {
        #expect(try job.finish(.ranks(ranks), run: "run\(ranks)", arguments) == reference)
      }
    }

    @Test("the first step's trained tensors move as when everything is trained")
    func sameFirstStep() throws {
      // Without clipping, the first update of a parameter depends on its own gradient only.
      let job = try TrainingJob([
        "train.steps=1", "train.optimizer.grad_clip=0",
        "train.schedule={kind: constant, warmup_steps: 0}", Self.expansion,
      ])
      _ = try job.finish(.alone, run: "all")
      _ = try job.finish(.alone, run: "part", [Self.expanded])
      let difference = try changed(job.output("all") + "/export", job.output("part") + "/export")
      #expect(!difference.isEmpty && !difference.contains { $0.hasPrefix("model.layers.1.") })
    }

    @Test("refused: nothing is expanded; resuming with something else trained")
    func refusals() throws {
      let job = try TrainingJob(["train.steps=2"])
      for launch in [TrainingJob.Launch.alone, .ranks(2)] {
        for arguments in [[Self.expanded], [Self.expanded, "--dry-run"]] {
          let result = try job.start(launch, run: "none", arguments).wait()
          #expect(result.code == 64 && result.errorLines.count == 1, "\(result.stderr)")
          #expect(result.errorLines.first?.contains("no layer of the model is expanded") == true)
        }
      }
      #expect(!FileManager.default.fileExists(atPath: job.output("none")))
      _ = try job.finish(.alone, run: "run", [Self.expansion])
      let other = try job.start(
        .alone, run: "run", [Self.expansion, Self.expanded, "train.steps=3"]
      ).wait()
      #expect(other.code == 64 && other.errorLines.count == 1, "\(other.stderr)")
      #expect(
        other.errorLines.first?.contains("train.trainable: the checkpoint was made with all")
          == true, "\(other.stderr)")
    }

    @Test("the plan shows the smaller memory")
    func plan() throws {
      let job = try TrainingJob([Self.expansion])
      func moments(_ arguments: [String]) throws -> String {
        let result = try job.start(.ranks(2), run: "run", arguments + ["--dry-run"]).wait()
        let line = result.stdout.split(separator: "\n").first { $0.contains("moments") }
        return String(try #require(line, "\(result.stdout)\(result.stderr)"))
      }
      let all = try moments([])
      let lines = try [
        all, moments([Self.expanded]), moments(["train.optimizer.moments=bf16"]),
        moments([ShardingTests.zero1]),
      ]
      #expect(Set(lines).count == 4 || Set(lines.dropFirst()).isDisjoint(with: [all]), "\(lines)")
    }
  }
}

/// The tensors of an exported file.
struct SafetensorsFile {
  let tensors: [String: Data]

  init(_ directory: String) throws {
    let data = try Data(contentsOf: URL(fileURLWithPath: directory + "/model.safetensors"))
    let length = data.prefix(8).reversed().reduce(0) { $0 << 8 | Int($1) }
    let header = try JSONSerialization.jsonObject(with: data[8..<(8 + length)])
    var tensors: [String: Data] = [:]
    for (name, value) in try #require(header as? [String: Any]) where name != "__metadata__" {
      let fields = try #require(value as? [String: Any])
      let range = try #require(fields["data_offsets"] as? [Int])
      tensors[name] = data[(8 + length + range[0])..<(8 + length + range[1])]
    }
    self.tensors = tensors
  }
}
