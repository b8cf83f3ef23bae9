/// Something that parses, for the campaign to try.
///
/// To add one, write an extension with a static property in a file of its own under `Parsers` and name it
/// in `all`.
struct FuzzTarget {
  /// What is ready to be tried.
  struct Prepared {
    /// Inputs that are taken without an error; all others are made from them.
    var corpus: [[UInt8]]
    /// Texts that lead somewhere when they stand in an input.
    var words: [String] = []
    /// Makes a changed input fit its checksums again, so that they do not hide everything else.
    var mend: (inout [UInt8]) -> Void = { _ in }
    /// Parses an input; throws typed errors only.
    var parse: ([UInt8]) throws -> Void
  }

  /// Its name on the command line and in reports.
  let name: String
  /// How many times longer than others an input may take: so many times fewer are tried.
  let cost: Int
  /// Writes what an input needs beside it into the room.
  let prepare: (FuzzRoom) throws -> Prepared

  /// Names the parts.
  init(_ name: String, cost: Int = 1, prepare: @escaping (FuzzRoom) throws -> Prepared) {
    (self.name, self.cost, self.prepare) = (name, cost, prepare)
  }

  /// Every parser.
  static var all: [FuzzTarget] {
    [
      .safetensorsHeader, .safetensorsIndex, .modelConfiguration, .modelDirectory, .exportSums,
      .modelCard, .torchCheckpoint, .tokenizer, .pattern, .tokenizerConfiguration, .tokenizedText,
      .megatronIndex, .flatTokens, .tokenManifest, .publishedTokens, .jsonLines,
      .compressedJSONLines, .gzipJSONLines, .jsonArray, .placedJSON, .recipe, .overrides, .duration,
      .plan, .manifest, .shard, .plainShard, .shardContents, .trainingRecord, .metricsLog,
      .metricsRows, .runStatus, .runLock, .probeReport, .experimentReport, .evaluationReport,
      .taskOptions, .taskDefinition, .taskData, .sampleLog, .contextState, .scoringRequest,
      .scoringSession, .localAddress, .watchFrame, .watchInvitation,
    ]
  }
}

/// An answer that is not an error, and yet cannot be right.
struct WrongResult: Error, CustomStringConvertible {
  let description: String
}

/// Requires what must hold whatever the input was.
func expect(_ condition: Bool, _ problem: @autoclosure () -> String) throws {
  if !condition { throw WrongResult(description: problem()) }
}
