/// The names of a checkpoint's tensors without what training programs put around them.
enum CheckpointNames {
  /// Parts that `torch.compile`, FSDP and activation checkpointing insert; no model has such a part.
  private static let wrappers: Set = [
    "_orig_mod", "_fsdp_wrapped_module", "_checkpoint_wrapped_module",
  ]

  /// The same names, in the same order, as the bare model would have saved them.
  ///
  /// `module.` (`DataParallel`) is taken off where all names have it. Some converters save the whole
  /// model under a second `model.`: see fla-org/flame, pull 48.
  static func unwrapped(_ names: [String]) -> [String] {
    var names = names.map { name in
      name.split(separator: ".", omittingEmptySubsequences: false)
        .filter { !wrappers.contains(String($0)) }.joined(separator: ".")
    }
    if !names.isEmpty, names.allSatisfy({ $0.hasPrefix("module.") }) {
      names = names.map { String($0.dropFirst("module.".count)) }
    }
    guard names.contains(where: { $0.hasPrefix("model.model.") }) else { return names }
    return names.map { name in
      name.hasPrefix("model.model.") || name == "model.lm_head.weight"
        ? String(name.dropFirst("model.".count)) : name
    }
  }
}
