import Charts
import Reports

/// What `statex probe --json` writes of two layers.
private let probe = #"""
  {"format": "statex-probe/1", "windows": [1, 16],
   "intact": [{"name": "mqar_4", "recall": true, "length": 24, "samples": 6,
               "accuracy": {"mean": 0.5, "stderr": 0.1}, "nll": {"mean": 2.25, "stderr": 0.05}}],
   "layers": [
     {"layer": 0, "state_shape": "4 x 8 x 16", "largest_rank": 8,
      "states": {"mqar_4": [{"effective_rank": {"mean": 2.0, "stderr": 0.1},
                             "energy_share": {"mean": 0.13, "stderr": 0.01}}]},
      "cuts": [{"name": "mqar_4", "window": 1, "accuracy_lost": {"mean": 0.25, "stderr": 0.06},
                "nll_gained": {"mean": -0.015, "stderr": 0.007}}]},
     {"layer": 1, "state_shape": "4 x 8 x 16", "largest_rank": 8, "states": {}, "cuts": []}],
   "order": [0, 1], "recommended": [0]}
  """#

/// What `make reproduce` writes: two arms of a family.
private let results = #"""
  {"format": "statex-reproduce/1", "matrix": "small", "version": "1.0", "wall_seconds": 1234.5,
   "arms": [{"family": "gla", "arm": "lpt", "seed": 1, "recall": [
     {"name": "mqar_8", "task": "mqar", "pairs": 8, "chance": 0.125, "accuracy": 0.5},
     {"name": "passkey_512", "task": "passkey", "length": 512, "contains": 0.25}]}],
   "summary": [
     {"family": "gla", "arm": "base", "title": "base", "seeds": [1, 2], "parameters": 1000,
      "state_bytes": 4096, "seconds": {"mean": 2, "deviation": 0.5},
      "recall": {"mqar_8": {"mean": 0.25, "deviation": 0.01}, "passkey_512": {"mean": 0.1}},
      "text_nll": {"mean": 2.5, "deviation": 0.1}},
     {"family": "gla", "arm": "lpt", "title": "LPT", "seeds": [1, 2], "parameters": 1000,
      "state_bytes": 4096, "recall": {"mqar_8": {"mean": 0.5, "deviation": 0.02}},
      "text_nll": {"mean": 2.25}, "wall_seconds": {"mean": 60.5}, "peak_memory_bytes": 5e8,
      "decode_ms_per_token": 1.5,
      "from_lpt": {"mqar_8": {"mean": 0.1, "deviation": 0.02}, "text_nll_ratio": {"mean": 0.01}}}]}
  """#

/// What `statex evaluate --json` writes.
private let evaluation = #"""
  {"perplexity": {"nll": 2.345, "stderr": 0.012, "tokens": 65536, "sequences": 32,
     "positions": {"1": {"nll": 7.9, "stderr": 0.2}, "2": {"nll": 6.1, "stderr": 0.2}}},
   "tasks": {
     "mqar_8": {"accuracy": 0.91, "stderr": 0.01, "samples": 100, "chance": 0.03125,
       "lengths": {"64": {"accuracy": 0.91, "stderr": 0.01, "samples": 100}}},
     "passkey": {"contains": 0.5, "stderr": 0.05, "samples": 100,
       "lengths": {"4096": {"contains": 0.5, "stderr": 0.05, "samples": 100,
         "depths": {"0.1": {"contains": 1.0, "stderr": 0.0, "samples": 10}}}}},
     "letters": {"acc": 0.5, "stderr": 0.1, "samples": 20, "groups": {"kind": {
       "a": {"acc": 1, "stderr": 0, "samples": 10}}}}}}
  """#

extension FuzzTarget {
  /// A probe's report on a page.
  static var probeReport: FuzzTarget {
    page("report-probe", probe, words: ["statex-probe/2", "\"mqar_5\"", "\"window\": 16"])
  }

  /// The results of the experiment on a page.
  static var experimentReport: FuzzTarget {
    page("report-results", results, words: ["statex-reproduce/2", "\"mqar_16\"", "\"pairs\": 16"])
  }

  /// A report of an evaluation on a page.
  static var evaluationReport: FuzzTarget {
    page("report-evaluation", evaluation, words: ["\"8192\": ", "\"0.2\": ", "\"mqar_16\": "])
  }

  /// The page that `statex report` makes of a file, with its figures.
  private static func page(_ name: String, _ text: String, words: [String]) -> FuzzTarget {
    FuzzTarget(name, cost: 5) { room in
      Prepared(corpus: [Array(text.utf8)], words: words) { input in
        let page = try Report([try room.write(input, "input.json")]).page
        try expect(!page.html.isEmpty, "an empty page")
        try expect(page.figures.allSatisfy { !$0.file.isEmpty }, "an empty figure")
      }
    }
  }
}
