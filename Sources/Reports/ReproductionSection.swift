import Charts

/// Recall, text loss and costs of the arms of an experiment, a section for each family.
enum ReproductionSection {
  static func sections(_ results: Reproduction) -> [Page.Section] {
    var families: [String] = []
    for arm in results.arms where !families.contains(arm.family) { families.append(arm.family) }
    let facts = Page.Table(
      "How the experiment ran.", head: ["", "value"], results.facts.map { [$0.name, $0.value] },
      isNumeric: false)
    return families.map { family in
      section(
        family, results.arms.filter { $0.family == family }, results.tasks,
        results.pairs.filter { $0.family == family })
    } + [Page.Section("Experiment", [.table(facts)])]
  }

  private static func section(
    _ family: String, _ arms: [Reproduction.Arm], _ tasks: [Reproduction.Task],
    _ pairs: [Reproduction.Pair]
  ) -> Page.Section {
    let measured = tasks.filter { task in arms.contains { $0.recall(task) != nil } }
    var groups: [String] = []
    for task in measured where !groups.contains(task.group) { groups.append(task.group) }
    var figures = groups.flatMap { group -> [Figure?] in
      let members = measured.filter { $0.group == group }
      return [curves(family, group, arms, members)]
        + (members.count > 8 ? [] : [differences(family, group, arms, members)])
    }
    figures.append(textLoss(family, arms))
    return Page.Section(
      "Experiment: \(family)",
      [
        .figures(figures.compactMap { $0 }), .table(scores(family, arms, measured)),
        .table(bySeed(family, pairs, measured)), .table(costs(family, arms)),
      ])
  }

  // MARK: Figures

  /// What surrounds a mean.
  private static func spread(_ arms: [Reproduction.Arm]) -> String {
    "one standard deviation over seeds (n - 1) to either side"
      + (arms.contains { $0.seeds == 1 } ? ", none where one seed was run" : "")
  }

  private static func curves(
    _ family: String, _ group: String, _ arms: [Reproduction.Arm], _ tasks: [Reproduction.Task]
  ) -> Figure? {
    guard let axis = axis(of: tasks) else { return byArm(family, group, arms, tasks) }
    var plot = LinePlot(
      name: "arms-\(slug(family))-\(slug(group))", title: "\(family): \(group)",
      axes: (axis.name, "recall, percent"),
      arms.enumerated().map { index, arm in
        LinePlot.Series(
          arm.title, index: index,
          zip(axis.places, tasks).compactMap { place, task in
            arm.recall(task).map {
              LinePlot.Point(x: Double(place), y: $0.mean, band: $0.band)
            }
          }.sorted { $0.x < $1.x })
      })
    plot.kinds.x = .logarithmic
    plot.marks = axis.places.map(Double.init).sorted()
    (plot.isShare, plot.hasMarkers) = (true, true)
    let chances = Set(tasks.compactMap(\.chance))
    if chances.count == 1, let chance = chances.first {
      plot.rules = [("guessing: \(NumberText.percent(chance)) %", chance)]
    }
    return plot.figure(
      caption: "\(group) of \(family), mean over seeds."
        + (plot.rules.first.map { " Dotted: \($0.name)." } ?? ""), spread: spread(arms))
  }

  /// What the tasks of a group differ in: pairs, else length; nil where neither tells all apart.
  private static func axis(of tasks: [Reproduction.Task]) -> (name: String, places: [Int])? {
    let choices = [
      ("key-value pairs in the context", tasks.compactMap(\.pairs)),
      ("tokens of a sample", tasks.compactMap(\.length)),
    ]
    return choices.first { _, places in
      tasks.count > 1 && Set(places).count == tasks.count && places.allSatisfy { $0 > 0 }
    }
  }

  private static func byArm(
    _ family: String, _ group: String, _ arms: [Reproduction.Arm], _ tasks: [Reproduction.Task]
  ) -> Figure? {
    var plot = DotPlot(
      name: "arms-\(slug(family))-\(slug(group))", title: "\(family): \(group)",
      axis: "recall, percent", rows: arms.map(\.title), series(arms, tasks) { $0.recall($1) })
    plot.isShare = true
    return plot.figure(
      caption: "\(group) of \(family), mean over seeds.", spread: spread(arms))
  }

  private static func differences(
    _ family: String, _ group: String, _ arms: [Reproduction.Arm], _ tasks: [Reproduction.Task]
  ) -> Figure? {
    let compared = arms.filter { arm in tasks.contains { arm.mean("from_lpt.\($0.name)") != nil } }
    var plot = DotPlot(
      name: "from-lpt-\(slug(family))-\(slug(group))", title: "\(family): \(group) against LPT",
      axis: "points of recall above LPT, same samples", rows: compared.map(\.title),
      series(compared, tasks, factor: 100) { $0.mean("from_lpt.\($1.name)") })
    plot.hasZero = true
    return plot.figure(
      caption:
        "\(group) of \(family): paired differences from LPT in percentage points, mean over seeds.",
      spread: spread(compared))
  }

  private static func series(
    _ arms: [Reproduction.Arm], _ tasks: [Reproduction.Task], factor: Double = 1,
    _ mean: (Reproduction.Arm, Reproduction.Task) -> Reproduction.Mean?
  ) -> [DotPlot.Series] {
    tasks.enumerated().map { index, task in
      DotPlot.Series(
        task.name, index: index,
        arms.map { arm in
          mean(arm, task).map {
            .init($0.mean * factor, error: $0.deviation.map { $0 * factor })
          }
        })
    }
  }

  private static func textLoss(_ family: String, _ arms: [Reproduction.Arm]) -> Figure? {
    let plot = DotPlot(
      name: "text-loss-\(slug(family))", title: "\(family): loss on held-out text",
      axis: "nats a token", rows: arms.map(\.title),
      [
        DotPlot.Series(
          "text loss", index: 0,
          arms.map { arm in
            arm.mean("text_nll").map { .init($0.mean, error: $0.deviation) }
          })
      ])
    return plot.figure(
      caption: "Loss on held-out text of \(family), mean over seeds.", spread: spread(arms))
  }

  // MARK: Tables

  private static func scores(
    _ family: String, _ arms: [Reproduction.Arm], _ tasks: [Reproduction.Task]
  ) -> Page.Table {
    let rows = arms.map { arm in
      [arm.title, "\(arm.seeds)"]
        + tasks.map { arm.recall($0)?.text(NumberText.percent) ?? "-" }
        + [
          arm.mean("text_nll")?.text { NumberText.fixed($0, 4) } ?? "-",
          arm.mean("from_lpt.text_nll_ratio")?.text { NumberText.fixed(100 * $0, 2) } ?? "-",
        ]
    }
    return Page.Table(
      "\(family): recall in percent and loss on held-out text, mean \u{B1} standard deviation over seeds; the "
        + "last column is the text loss against LPT.",
      head: ["arm", "seeds"] + tasks.map(\.name) + ["text loss (nats)", "against LPT (%)"], rows)
  }

  /// What each arm of each seed gained over LPT.
  private static func bySeed(
    _ family: String, _ pairs: [Reproduction.Pair], _ tasks: [Reproduction.Task]
  ) -> Page.Table {
    func signed(_ share: Double) -> String {
      (share < 0 ? "" : "+") + NumberText.percent(share)
    }
    let rows = pairs.map { pair in
      [pair.title, "\(pair.seed)"]
        + tasks.map { task in
          pair.differences[task.name].map { difference in
            let ends = [difference.interval.lowerBound, difference.interval.upperBound]
            return signed(difference.mean) + " [" + ends.map(signed).joined(separator: ", ") + "]"
          } ?? "-"
        }
    }
    return Page.Table(
      "\(family): differences from LPT of the same seed on the same samples in percentage points, with the interval "
        + "that holds 95 % of a bootstrap's means over samples.",
      head: ["arm", "seed"] + tasks.map(\.name), rows)
  }

  private static func costs(_ family: String, _ arms: [Reproduction.Arm]) -> Page.Table {
    func count(_ arm: Reproduction.Arm, _ name: String) -> String {
      arm.number(name).map { NumberText.grouped($0) } ?? "-"
    }
    let rows = arms.map { arm in
      [
        arm.title, count(arm, "parameters"), count(arm, "state_bytes"), count(arm, "steps"),
        count(arm, "tokens"),
        arm.mean("wall_seconds")?.text { NumberText.fixed($0, 1) } ?? "-",
        arm.number("peak_memory_bytes").map { NumberText.fixed($0 / 1e6, 0) } ?? "-",
        arm.number("decode_ms_per_token").map { NumberText.short($0) } ?? "-",
      ]
    }
    return Page.Table(
      "\(family): what each arm costs. State: bytes of one sequence in float32. Time: wall clock of post-training.",
      head: [
        "arm", "parameters", "state (bytes)", "steps", "tokens", "time (s)", "peak memory (MB)",
        "decode (ms a token)",
      ], rows)
  }
}

extension Reproduction.Arm {
  fileprivate func recall(_ task: Reproduction.Task) -> Reproduction.Mean? {
    mean("recall.\(task.name)")
  }
}

extension Reproduction.Mean {
  fileprivate var band: ClosedRange<Double>? { Charts.spread(around: mean, deviation) }

  fileprivate func text(_ number: (Double) -> String) -> String {
    number(mean) + (deviation.map { " \u{B1} " + number($0) } ?? "")
  }
}
