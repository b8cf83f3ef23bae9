import Charts
import Foundation
import Testing

/// Figures: points lie where the scale says, and nothing breaks the markup.
@Suite struct PlotTests {
  private func plot(_ series: [LinePlot.Series]) -> LinePlot {
    LinePlot(name: "p", title: "Title", axes: ("x", "y"), series)
  }

  /// The numbers in the first path of a class.
  private func path(_ kind: String, in figure: Figure) throws -> [Double] {
    let start = try #require(figure.inline.range(of: "class=\"\(kind)\" d=\""))
    let text = figure.inline[start.upperBound...].prefix { $0 != "\"" }
    return text.split { !"0123456789.-".contains($0) }.compactMap { Double($0) }
  }

  @Test func pointsLieWhereTheScaleSays() throws {
    let figure = try #require(
      plot([
        .init(
          "a", index: 0,
          [.init(x: 0, y: 0, band: 0...1), .init(x: 5, y: 5, band: 4...6), .init(x: 10, y: 10)])
      ]).figure(caption: ""))
    // The area reaches from 246 up to 46, labels of "10" begin at 18 + 12, and "a" takes 14 + 6.8 * 1.06.
    let line = try path("line stroke", in: figure)
    #expect(line == [30, 246, 234.4, 146, 438.79, 46])
    #expect(try path("band fill", in: figure) == [30, 226, 234.4, 126, 234.4, 166, 30, 246])
    #expect(figure.width == 460 && figure.inline.contains(">10</text>"))
  }

  @Test func pointsThatAreNotFiniteInterruptTheLine() throws {
    let points = [0, 1, 2, 3, 4].map { LinePlot.Point(x: Double($0), y: $0 == 2 ? .nan : 1) }
    let figure = try #require(plot([.init("a", index: 0, points)]).figure(caption: ""))
    #expect(figure.inline.components(separatedBy: "class=\"line stroke\"").count == 3)
    #expect(figure.inline.components(separatedBy: "class=\"lost\"").count == 2)
    #expect(!figure.inline.contains("nan"))
    let nothing = [LinePlot.Point(x: .nan, y: .infinity)]
    #expect(
      plot([.init("a", index: 0, nothing)]).figure(caption: "")?.inline.contains("nan") == false)
  }

  @Test func withoutPointsThereIsNoFigure() {
    #expect(plot([]).figure(caption: "") == nil)
    #expect(plot([.init("a", index: 0, [])]).figure(caption: "") == nil)
    let bars = BarPlot(
      name: "b", title: "", axes: ("", ""), categories: ["0"], [.init("a", index: 0, [nil])])
    #expect(bars.figure(caption: "") == nil)
    let dots = DotPlot(name: "d", title: "", axis: "", rows: ["r"], [.init("a", index: 0, [nil])])
    #expect(dots.figure(caption: "") == nil)
    let map = HeatMap(name: "h", title: "", axes: ("", ""), columns: [], rows: [], [])
    #expect(map.figure(caption: "") == nil)
  }

  @Test func aPointAloneHasAMarkerAndAnErrorBar() throws {
    let figure = try #require(
      plot([.init("a", index: 0, [.init(x: 3, y: 2, band: 1...3)])]).figure(caption: ""))
    #expect(figure.inline.contains("<circle") && figure.inline.contains("class=\"error stroke\""))
    #expect(!figure.inline.contains("class=\"line"))
  }

  @Test func manySeriesHaveBarsInsteadOfAreas() throws {
    func elements(_ count: Int, _ kind: String) throws -> Int {
      var plot = plot(
        (0..<count).map { index in
          .init("\(index)", index: index, [0, 1].map { .init(x: $0, y: 2, band: 1...3) })
        })
      plot.hasMarkers = true
      let figure = try #require(plot.figure(caption: ""))
      return figure.inline.components(separatedBy: "class=\"\(kind)\"").count - 1
    }
    #expect(try elements(4, "band fill") == 4 && elements(4, "error stroke") == 0)
    #expect(try elements(5, "band fill") == 0 && elements(5, "error stroke") == 10)
  }

  @Test func captionsSayWhatSurroundsTheNumbers() throws {
    func caption(_ bands: [ClosedRange<Double>?], _ more: [ClosedRange<Double>?] = []) throws
      -> String
    {
      let series = [bands, more].enumerated().map { index, bands in
        LinePlot.Series(
          "\(index)", index: index,
          bands.enumerated().map { .init(x: Double($0), y: 2, band: $1) })
      }
      return try #require(plot(series).figure(caption: "A.", spread: "s")).caption
    }
    #expect(try caption([nil, nil]) == "A.")
    #expect(try caption([1...3, 1...3]) == "A. Bands: s.")
    #expect(try caption([1...3]) == "A. Error bars: s.")
    #expect(try caption([1...3, 1...3], [1...3]) == "A. Bands and error bars: s.")
    let dots = { (value: DotPlot.Value) in
      DotPlot(name: "d", title: "", axis: "", rows: ["r"], [.init("a", index: 0, [value])])
        .figure(caption: "A.", spread: "s")?.caption
    }
    #expect(dots(.init(1)) == "A." && dots(.init(1, error: .nan)) == "A.")
    #expect(dots(.init(1, error: -1)) == "A." && dots(.init(.infinity, error: .infinity)) == nil)
    #expect(dots(.init(1, error: 0.5)) == "A. Error bars: s.")
    let bars = { (errors: [Double?]) in
      BarPlot(
        name: "b", title: "", axes: ("", ""), categories: ["0"],
        [.init("a", index: 0, [1], errors: errors)]
      ).figure(caption: "A.", spread: "s")?.caption
    }
    #expect(bars([]) == "A." && bars([nil]) == "A." && bars([0.5]) == "A. Error bars: s.")
  }

  @Test func theBarsOfADotHaveTheirOwnEnds() throws {
    let figure = try #require(
      DotPlot(
        name: "d", title: "t", axis: "x", rows: ["row"],
        [.init("a", index: 0, [.init(2, range: 0...10)])]
      ).figure(caption: ""))
    // From 3 letters of the row's name, 16 and 6 on, up to 438: 0 and 10 at the ends.
    let bar = try path("error stroke", in: figure)
    let circle = try #require(figure.inline.firstMatch(of: /cx="([0-9.]+)"/))
    let place = try #require(Double(circle.output.1))
    #expect(bar.count == 3 && bar[2] == 438)
    #expect(abs(place - (bar[0] + 0.2 * (bar[2] - bar[0]))) < 0.02)
  }

  @Test func gapsInterruptTheLineAndAreShaded() throws {
    let points = [0, 1, 2, 5, 6].map { LinePlot.Point(x: Double($0), y: 1) }
    let figure = try #require(
      plot([.init("a", index: 0, points, gaps: [2...5])]).figure(caption: ""))
    #expect(figure.inline.components(separatedBy: "class=\"line stroke\"").count == 3)
    let area = try path("gap fill", in: figure)
    let line = try path("line stroke", in: figure)
    // The area begins where the first line ends, and spans the height of the plot.
    #expect(area.count == 5 && area[0] == line[4] && area[1] == 46 && area[3] == 246)
    #expect(area[0] == area[4] && area[2] > area[0])
  }

  @Test func barsBeginAtZeroAndEndAtTheirValues() throws {
    let figure = try #require(
      BarPlot(
        name: "b", title: "t", axes: ("layer", "n"), categories: ["0", "1"],
        [.init("a", index: 0, [500, 2000])]
      ).figure(caption: ""))
    // 0 to 2,000 over 200 pixels: 500 are 50, from 196 on.
    #expect(figure.inline.contains("y=\"196\"") && figure.inline.contains("height=\"50\""))
    #expect(figure.inline.contains("y=\"46\"") && figure.inline.contains("height=\"200\""))
  }

  @Test func cellsOfAHeatMapHaveTheirColorAndText() throws {
    let figure = try #require(
      HeatMap(
        name: "h", title: "t", axes: ("x", "y"), columns: ["64", "128"], rows: ["0", "1"],
        [[0, 1], [0.5, nil]]
      ).figure(caption: ""))
    #expect(
      figure.inline.contains("fill=\"#00224e\"") && figure.inline.contains("fill=\"#fee838\""))
    #expect(figure.inline.contains(">50</text>") && figure.inline.contains("class=\"missing\""))
    #expect(
      figure.inline.contains("class=\"cell-text on-dark\"") && figure.inline.contains("on-light"))
  }

  @Test func labelsDoNotOverlap() throws {
    let series = (0..<6).map { index in
      LinePlot.Series("name \(index)", index: index, [.init(x: 0, y: 1), .init(x: 1, y: 1)])
    }
    let figure = try #require(plot(series).figure(caption: ""))
    let heights = figure.inline.matches(of: /class="label fill" x="[0-9.]+" y="([0-9.]+)"/)
      .compactMap { Double($0.output.1) }.sorted()
    #expect(heights.count == 6)
    for (above, below) in zip(heights, heights.dropFirst()) { #expect(below - above >= 13.99) }
    // More names than fit at the edge stand below the plot.
    let many = try #require(
      plot((0..<9).map { .init("n\($0)", index: $0, [.init(x: 0, y: 1)]) }).figure(caption: ""))
    #expect(many.height > figure.height)
  }

  @Test func namesAreEscaped() throws {
    let name = "a<b>&\"c\u{1}"
    let figure = try #require(
      LinePlot(
        name: "p", title: name, axes: (name, name), [.init(name, index: 0, [.init(x: 0, y: 0)])]
      )
      .figure(caption: name))
    #expect(!figure.file.contains("a<b") && figure.file.contains("a&lt;b&gt;&amp;&quot;c\u{FFFD}"))
    let page = Page(
      title: name, subtitle: name,
      [.init(name, [.text(name), .figures([figure]), .table(.init(name, head: [name], [[name]]))])])
    #expect(!page.html.contains("a<b"))
  }

  @Test func namesOfFiguresAreUnique() throws {
    let figure = try #require(plot([.init("a", index: 0, [.init(x: 0, y: 0)])]).figure(caption: ""))
    let page = Page(
      title: "", subtitle: "",
      [.init("p", [.figures([figure, figure])]), .init("p", [.figures([figure])])])
    #expect(page.figures.map(\.name) == ["p", "p-2", "p-3"])
    #expect(Page(title: "", subtitle: "", [.init("empty", [.text("")])]).sections.isEmpty)
  }

  @Test(arguments: [
    (0, "0"), (1, "1"), (1234, "1.23 k"), (999_999, "1 M"), (0.25, "0.25"), (-1500, "-1.5 k"),
    (1.5e-5, "1.5e-5"), (12_000_000, "12 M"), (0.0123, "0.0123"), (.infinity, "inf"),
  ])
  func numbersAreShort(_ value: Double, _ text: String) {
    #expect(NumberText.short(value) == text)
  }

  @Test func digitsAreGrouped() {
    #expect(NumberText.grouped(0) == "0" && NumberText.grouped(999) == "999")
    #expect(NumberText.grouped(-1_234_567) == "-1,234,567")
  }
}
