import ArgumentParser
import Charts
import CommandSupport
import Files
import Reports

/// `statex report`: a page about runs and evaluations.
struct ReportCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "report", abstract: "Write one HTML page about runs and evaluations.",
    discussion: """
      RUN is a run directory, a report of `statex evaluate --json` or `statex probe --json`, a log of \
      samples (paired differences from the first), or the results of `make reproduce`, each PATH or NAME=PATH; \
      what has the same NAME belongs together. Example: statex report \
      LPT=runs/lpt LPT=lpt.json StateX=runs/statex StateX=statex.json. The page needs no network and no \
      script, and the same inputs give the same bytes.
      """)

  @Argument(help: "Runs and evaluations, in the order of the columns.")
  var runs: [String]

  @Option(help: "The page.")
  var output = "report.html"

  @Option(help: "The page's title (default: the names of the runs).")
  var title: String?

  @Option(help: "Also write every figure into this directory, as SVG and, with rsvg-convert, PNG.")
  var figures: String?

  func run() throws {
    let page = try Report(runs, title: title).page
    if let figures { try FigureFiles(page.figures).write(to: figures) }
    try FileReplacement.write(Array(page.html.utf8), to: output)
    print("wrote \(output): \(page.figures.count) figures")
  }
}
