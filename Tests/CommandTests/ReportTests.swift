import Foundation
import JSON
import Testing

/// `statex report` on runs, evaluations and experiments.
@Suite(.serialized) struct ReportTests {
  private let place: Workplace

  init() throws { place = try Workplace() }

  /// Writes a run directory of rows of metrics and evaluations.
  private func run(
    _ name: String, losses: [String], evaluations: [String] = [], title: String? = nil
  ) throws {
    try FileManager.default.createDirectory(
      atPath: place.file(name), withIntermediateDirectories: true)
    let rows = losses.enumerated().map { index, loss in
      let rest = "\"grad_norm\": 1.5, \"tokens\": \((index + 1) * 100), \"tokens_per_second\": 50.0"
      return "{\"step\": \(index + 1), \"loss\": \(loss), \(rest), \"seconds\": 2.0}\n"
    }
    try place.write(rows.joined(), name + "/metrics.jsonl")
    if !evaluations.isEmpty {
      let lines = evaluations.enumerated().map { "{\"step\": \(($0 + 1) * 2), \($1)}\n" }
      try place.write(lines.joined(), name + "/evaluation.jsonl")
    }
    guard let title else { return }
    try place.write(
      """
      run: {name: "\(title)", output: \(name)}
      model: {config: {model_type: gla, hidden_size: 32, num_hidden_layers: 2, num_heads: 2, vocab_size: 64}}
      data: {sequence_length: 16, sources: [{task: mqar, pairs: 2, vocab: 64}]}
      train: {steps: 4, sequences_per_step: 1, segment_length: 16}
      """, name + "/recipe.yaml")
  }

  private func task(_ name: String, _ value: Double, depths: Bool = false) -> String {
    let score = "\"accuracy\": \(value), \"stderr\": 0.05, \"samples\": 20"
    let depth = depths ? ", \"depths\": {\"0.1\": {\(score)}, \"1.0\": {\(score)}}" : ""
    return "\"\(name)\": {\(score), \"chance\": 0.125, \"lengths\": {\"64\": {\(score)\(depth)}}}"
  }

  private func report(_ arguments: String...) throws -> String {
    let done = try place.statex(["report"] + arguments)
    #expect(done.code == 0 && done.errors.isEmpty, "\(done)")
    return String(decoding: try place.bytes("report.html"), as: UTF8.self)
  }

  @Test func aRunsPageHasItsCurvesStatesAndRecipe() throws {
    try run("one", losses: ["5.0", "4.0", "3.0"], title: "first <&> run")
    let page = try report("one")
    #expect(page.contains("first &lt;&amp;&gt; run") && !page.contains("<&>"))
    for figure in ["loss", "gradient-norm", "throughput", "state-sizes"] {
      #expect(page.contains("<figure id=\"\(figure)\">"), "\(figure)")
    }
    #expect(page.contains("data.sources.0.pairs") && page.contains("<td>300</td>"))
    // Nothing was measured: no empty section.
    #expect(!page.contains("Recall") && !page.contains("Needles"))
    #expect(page.contains("<td>3.0000</td>") && page.contains("<td>6 s</td>"))
    // The same inputs give the same bytes.
    #expect(try report("one") == page)
  }

  @Test func runsAndEvaluationsAreShownSideBySide() throws {
    try run(
      "a", losses: ["5.0", "4.0"],
      evaluations: ["\"tasks\": {\(task("mqar_4", 0.2))}", "\"tasks\": {\(task("mqar_4", 0.4))}"],
      title: "A")
    try run("b", losses: ["6.0"], title: "B")
    try place.write(
      "{\"tasks\": {\(task("mqar_4", 0.5)), \(task("mqar_8", 0.25)), \(task("niah_single_1", 1, depths: true))}}",
      "b.json")
    let page = try report("a", "B=b", "B=b.json")
    // What both have in common, what differs, and scores of different tasks.
    #expect(page.contains("Keys of the recipes that differ") && page.contains("run.name"))
    #expect(
      page.contains("<figure id=\"recall-mqar\">")
        && page.contains("<figure id=\"progress-mqar-4\">"))
    #expect(page.contains("<figure id=\"needles-niah-single-1-2\">"))
    #expect(page.contains("40.0 \u{B1} 5.0") && page.contains("50.0 \u{B1} 5.0"))
    #expect(page.contains("guessing: 12.5 %"))
    // `niah_single_1` is a task, not one of a series.
    #expect(!page.contains("recall-niah-single"))
  }

  @Test func numbersThatAreNotFiniteAreMarkedAndCounted() throws {
    try run("one", losses: ["5.0", "null, \"nonfinite\": {\"loss\": \"nan\"}", "null", "3.0"])
    let page = try report("one")
    #expect(page.contains("class=\"lost\"") && page.contains("marked in red: one 2."))
    #expect(!page.lowercased().contains("\"nan") && !page.contains(" nan"))
  }

  /// Writes a log of the given steps, whose losses are numbered 1, 2, ...
  private func log(_ name: String, _ steps: [Int], every: Int) throws {
    try run(name, losses: [], title: name)
    let lines = steps.enumerated().map { index, step in
      "{\"step\": \(step), \"loss\": \(index + 1), \"grad_norm\": 1.5, \"tokens\": \(step * 100), "
        + "\"tokens_per_second\": 50.0, \"seconds\": 2.0}\n"
    }
    try place.write(lines.joined(), name + "/metrics.jsonl")
    let recipe = String(decoding: try place.bytes(name + "/recipe.yaml"), as: UTF8.self)
    try place.write(recipe + "\nmetrics: {log_every: \(every)}\n", name + "/recipe.yaml")
  }

  /// How many lines the figure of the loss has.
  private func lines(_ page: String) throws -> Int {
    let start = try #require(page.range(of: "<figure id=\"loss\">")).upperBound
    let figure = try #require(page[start...].range(of: "</figure>")).lowerBound
    return page[start..<figure].components(separatedBy: "class=\"line stroke\"").count - 1
  }

  @Test func ofAStepThatAppearsTwiceTheLaterRowCounts() throws {
    try log("one", [1, 2, 3, 4, 2, 3], every: 1)
    let rows = [1, 4, 3].map {
      "{\"step\": \($0), \"tasks\": {\(task("mqar_4", Double($0) / 10))}}\n"
    }
    try place.write(rows.joined(), "one/evaluation.jsonl")
    let page = try report("one")
    // Three steps of 2 s; the last loss is the sixth row's, the last evaluation that of step 3.
    #expect(page.contains("<td>3</td>") && page.contains("<td>300</td>"))
    #expect(page.contains("<td>6.0000</td>") && page.contains("<td>6 s</td>"))
    #expect(page.contains("30.0 \u{B1} 5.0") && !page.contains("40.0 \u{B1} 5.0"))
    #expect(try !page.contains("Shaded") && lines(page) == 1)
  }

  @Test(
    arguments: [
      ([1, 2, 3, 7, 8], 1, "one 4\u{2013}6.", 2), ([1, 2, 3, 5, 6, 9], 1, "one 4, 7\u{2013}8.", 3),
      ([1, 10, 20, 50, 60], 10, "one 21\u{2013}49.", 2), ([1, 10, 13, 20, 30], 10, "", 1),
      // Logged less often at first, or always without a recipe that says so.
      ([1, 10, 20, 30, 31, 32], 1, "", 1), ([1, 10, 20, 30], 1, "", 1),
    ])
  func stepsWithoutRowsAreShaded(steps: [Int], every: Int, text: String, count: Int) throws {
    try log("one", steps, every: every)
    let page = try report("one")
    #expect(page.contains("Shaded: steps without rows, " + text) == !text.isEmpty, "\(steps)")
    #expect(page.contains("class=\"gap fill\"") == !text.isEmpty)
    // A point that stands alone has a marker instead of a line.
    #expect(try lines(page) == count - (steps.last == 9 ? 1 : 0))
  }

  @Test func aRunThatJustBeganOrHoldsOneRowIsShown() throws {
    try run("one", losses: ["5.0"])
    #expect(try report("one").contains("<figure id=\"loss\">"))
    try run("empty", losses: [], title: "empty")
    let page = try report("empty")
    #expect(!page.contains("<figure id=\"loss\">") && page.contains("<figure id=\"state-sizes\">"))
  }

  @Test func figuresAreFilesOfTheirOwn() throws {
    try run("one", losses: ["5.0", "4.0"], title: "one")
    let done = try place.statex("report", "one", "--figures", "figures", "--output", "r.html")
    #expect(done.code == 0)
    let svg = String(decoding: try place.bytes("figures/loss.svg"), as: UTF8.self)
    #expect(svg.hasPrefix("<svg xmlns=") && svg.contains("<style>"))
    let hasConverter = FileManager.default.isExecutableFile(atPath: "/usr/bin/rsvg-convert")
    if hasConverter {
      #expect(try place.bytes("figures/loss.png").prefix(4) == [0x89, 0x50, 0x4E, 0x47])
      #expect(done.errors.isEmpty, "\(done.errors)")
    } else {
      #expect(done.errors.hasPrefix("warning: rsvg-convert is not installed"))
    }
  }

  @Test func whatAProbeFoundIsShownByLayer() throws {
    try run("one", losses: ["5.0"], title: "one")
    let layer = { (index: Int, lost: Double) in
      """
      {"layer": \(index), "state_shape": "2 x 4 x 8", "largest_rank": 4,
       "states": {"mqar_4": [{"effective_rank": {"mean": 2.0, "stderr": 0.1}},
                             {"effective_rank": {"mean": 3.0, "stderr": 0.1}}]},
       "cuts": [{"name": "mqar_4", "window": 16, "accuracy_lost": {"mean": \(lost), "stderr": 0.01},
                 "nll_gained": {"mean": 0.5, "stderr": 0.1}},
                {"name": "mqar_4", "window": 16, "rank": 2, "accuracy_lost": {"mean": 0, "stderr": 0},
                 "nll_gained": {"mean": 0.125, "stderr": 0.25}}]}
      """
    }
    let head =
      "{\"format\": \"statex-probe/1\", \"windows\": [16], \"intact\": [{\"name\": \"mqar_4\"}]"
    try place.write(
      head + ", \"layers\": [\(layer(0, -0.02)), \(layer(1, 0.25))], \"recommended\": [1]}",
      "p.json")
    let page = try report("one=one", "one=p.json")
    for name in ["accuracy-lost", "nll-gained", "half-rank"] {
      #expect(page.contains("<figure id=\"probe-\(name)-1-16\">"))
    }
    #expect(page.contains("<td>0.1250 \u{B1} 0.2500</td>"))
    #expect(page.contains("<td>25.0 \u{B1} 1.0</td>") && page.contains("<td>-2.0 \u{B1} 1.0</td>"))
    #expect(page.contains("<td>yes</td>") && page.contains("mqar_4, 1: 2.5"))
    try place.write(head + "}", "p.json")
    let bad = try place.statex("report", "p.json")
    #expect(bad.code == 65 && bad.errorLine?.contains("p.json: needs `layers`") == true, "\(bad)")
  }

  @Test func differencesOnTheSameSamplesAreThoseOfCompare() throws {
    let scores = (0..<40).map { Double($0 % 2) }
    try place.sampleLog("a.jsonl", scores)
    try place.sampleLog("b.jsonl", scores.enumerated().map { $0 < 9 ? 1 : $1 })
    try place.sampleLog("c.jsonl", scores.map { 1 - $0 / 2 })
    try place.sampleLog("other.jsonl", scores, seed: 1)
    // A report and a log of one model go together.
    try place.write("{\"tasks\": {\(task("mqar_4", 0.5))}}", "b.json")
    let page = try report("A=a.jsonl", "B=b.jsonl", "B=b.json", "C=c.jsonl", "Other=other.jsonl")
    #expect(page.contains("<figure id=\"differences\">") && page.contains("class=\"rule\""))
    #expect(
      page.contains("Error bars: 95 % of the means of 1,000 bootstrap samples.</figcaption>"))
    #expect(page.contains("Differences from A") && page.contains("points above A, same samples"))
    #expect(
      page.contains(
        "<th scope=\"row\">Other</th><td>samples of different measurements: `seed` differs</td>"))
    let compared = try place.statex(
      "compare", "A=a.jsonl", "B=b.jsonl", "C=c.jsonl", "--format", "json")
    func cells(_ name: String, _ length: JSONValue) throws -> String {
      let row = try #require(
        parse(compared.output).array?.first {
          $0["name"]?.string == name && $0["length"] == length && $0["depth"] == .null
        })
      func points(_ key: String) throws -> String {
        String(format: "%.1f", 100 * (try #require(row[key]?.double)))
      }
      func signed(_ key: String) throws -> String {
        let text = try points(key)
        return text.hasPrefix("-") ? text : "+" + text
      }
      let pairs = try #require(row["pairs"]?.integer(as: Int.self))
      return try "<td>\(signed("difference")) \u{B1} \(points("difference_stderr"))</td>"
        + "<td>[\(signed("difference_low")),\u{A0}\(signed("difference_high"))]</td><td>\(pairs)</td>"
    }
    for (label, length) in [("", JSONValue.null), (", 64 tokens", .number("64"))] {
      let row =
        try "<th scope=\"row\">passkey contains\(label) (points)</th>" + cells("B", length)
        + cells("C", length) + "</tr>"
      #expect(page.contains(row), "\(row)")
    }
    // One log has no other to differ from.
    #expect(try !report("A=a.jsonl", "B=b.json").contains("Differences"))
    let twice = try place.statex("report", "A=a.jsonl", "A=b.jsonl")
    #expect(twice.code == 64 && twice.errorLine?.contains("another of that kind") == true)
  }

  @Test func anExperimentIsShownByArm() throws {
    let mean = { (value: Double) in "{\"mean\": \(value), \"deviation\": 0.02, \"values\": []}" }
    let arm = { (name: String, recall: Double) in
      """
      {"family": "gla", "arm": "\(name)", "title": "\(name)", "seeds": [0, 1, 2], "steps": 8, "tokens": 4096,
       "parameters": 1234567, "state_bytes": 4096, "decode_ms_per_token": null, "peak_memory_bytes": 7e7,
       "wall_seconds": \(mean(12)), "text_nll": \(mean(1.2345)),
       "recall": {"mqar_16": \(mean(recall)), "mqar_32": \(mean(recall / 2))},
       "from_lpt": {"mqar_16": \(mean(recall - 0.5))}}
      """
    }
    let tasks = ["mqar_16": 16, "mqar_32": 32].map { name, pairs in
      "{\"name\": \"\(name)\", \"task\": \"mqar\", \"pairs\": \(pairs), \"chance\": 0.03125}"
    }.sorted()
    try FileManager.default.createDirectory(
      atPath: place.file("runs"), withIntermediateDirectories: true)
    let less =
      "{\"name\": \"mqar_16\", \"difference\": 0.2, \"low\": 0.18, \"high\": 0.225, \"pairs\": 200}"
    let entry =
      "{\"family\": \"gla\", \"title\": \"statex\", \"seed\": 7, \"from_lpt\": [\(less)], "
      + "\"recall\": [\(tasks.joined(separator: ","))]}"
    try place.write(
      "{\"format\": \"statex-reproduce/1\", \"arms\": [\(entry)], \"summary\": [\(arm("lpt", 0.5)), \(arm("statex", 0.7))]}",
      "runs/results.json")
    let page = try report("runs")
    #expect(
      page.contains("<figure id=\"arms-gla-mqar\">")
        && page.contains("<figure id=\"from-lpt-gla-mqar\">"))
    #expect(page.contains("<figure id=\"text-loss-gla\">"))
    #expect(page.contains("<td>70.0 \u{B1} 2.0</td>") && page.contains("<td>1,234,567</td>"))
    #expect(
      page.contains(
        "<th scope=\"row\">statex</th><td>7</td><td>+20.0 [+18.0, +22.5]</td><td>-</td>"))
    #expect(page.contains("one standard deviation over seeds (n - 1) to either side.</figcaption>"))
    try place.write("{\"format\": \"statex-reproduce/1\", \"summary\": [{}]}", "runs/results.json")
    let bad = try place.statex("report", "runs")
    #expect(bad.code == 65 && bad.errorLine?.contains("results.json: summary.0") == true, "\(bad)")
    try place.write("{\"format\": \"statex-reproduce/9\"}", "runs/results.json")
    #expect(try place.statex("report", "runs").code == 65)
  }

  @Test func whatCannotBeReadIsSaidInOneLine() throws {
    func expect(_ code: Int32, _ text: String, _ arguments: String...) throws {
      let done = try place.statex(["report"] + arguments)
      #expect(done.code == code && done.errorLine?.contains(text) == true, "\(done)")
      #expect(!FileManager.default.fileExists(atPath: place.file("report.html")))
    }
    try expect(74, "nowhere", "nowhere")
    try expect(74, "nowhere", "A=nowhere")
    try place.write("{}", "x.json")
    try expect(65, "x.json", "x.json")
    try FileManager.default.createDirectory(
      atPath: place.file("folder"), withIntermediateDirectories: true)
    try expect(65, "folder: holds no recipe.yaml", "folder")
    try run("one", losses: ["5.0"])
    try expect(64, "another of that kind", "A=one", "A=one")
    try run("bad", losses: ["5.0", "oops", "4.0"])
    try expect(65, "bad/metrics.jsonl:2: not a row", "bad")
    try run("worse", losses: ["5.0"], evaluations: ["\"tasks\": {}", "oops"])
    try expect(65, "worse/evaluation.jsonl: line 2", "worse")
    try run("empty", losses: [])
    try expect(65, "nothing to report", "empty")
    try expect(64, "Missing expected argument")
    try expect(74, "nowhere/r.html", "one", "--output", "nowhere/r.html")
  }
}
