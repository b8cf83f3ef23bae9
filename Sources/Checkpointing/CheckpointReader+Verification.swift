import Files

extension CheckpointReader {
  /// Checks files of the checkpoint against the manifest.
  ///
  /// Sizes, hashes of the files, and the headers' run id, step, shard index and tensors; also that
  /// there is no shard too many.
  ///
  /// - Parameters:
  ///   - shards: which shards; all if nil. Ranks may share the work.
  ///   - contents: whether to decompress everything too, which takes several times as long.
  /// - Returns: every bad file; empty if the checkpoint is good.
  /// - Throws: `.file` when a file cannot be read, so that nothing is known about it; `.interrupted`.
  public func verify(
    shards: Range<Int>? = nil, contents: Bool = false
  ) throws(CheckpointError) -> [CheckpointProblem] {
    var problems = try strangers()
    for index in shards ?? manifest.shards.indices {
      try goOn()
      if let problem = try verify(shard: index, contents: contents) { problems.append(problem) }
    }
    return problems
  }

  /// Shards that the manifest does not know.
  private func strangers() throws(CheckpointError) -> [CheckpointProblem] {
    let known = Set(manifest.shards.map(\.file))
    let names = try CheckpointError.from(try FileSystem.list(path))
    return names.filter { $0.hasPrefix("shard-") && !known.contains($0) }.map {
      CheckpointProblem(
        path: path + "/" + $0, reason: "is not a shard of step \(manifest.step): it is stale")
    }
  }

  private func verify(
    shard index: Int, contents: Bool
  ) throws(CheckpointError) -> CheckpointProblem? {
    do throws(CheckpointError) {
      return try ShardReader(manifest, index: index, directory: path)
        .problem(checkingContents: contents, cache)
    } catch  where error.isDamage {
      return problem(error, shard: index)
    }
  }
}

extension CheckpointCatalog {
  /// Checks a checkpoint, its manifest included.
  ///
  /// - Parameters:
  ///   - path: the checkpoint's directory.
  ///   - contents: whether to decompress everything too, which takes several times as long.
  /// - Returns: every bad file; empty if the checkpoint is good.
  /// - Throws: `.file` when a file cannot be read, so that nothing is known about it.
  public static func problems(
    at path: String, contents: Bool = false
  ) throws(CheckpointError) -> [CheckpointProblem] {
    do throws(CheckpointError) {
      return try CheckpointReader(path: path).verify(contents: contents)
    } catch  where error.isDamage {
      let manifest = path + "/" + CheckpointManifest.fileName
      return [CheckpointProblem(path: manifest, reason: error.description)]
    }
  }
}
