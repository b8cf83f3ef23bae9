/// A page of HTML that needs nothing but itself: sections of texts, tables and figures.
///
/// It is well-formed XML too.
public struct Page: Sendable {
  /// A part of a section.
  public enum Part: Sendable {
    /// A paragraph.
    case text(String)
    /// Figures beside each other.
    case figures([Figure])
    /// A table, with what it shows.
    case table(Table)
  }

  /// A table: a heading and rows; the first column names the row.
  public struct Table: Sendable, Equatable {
    /// What it shows.
    public var caption: String
    /// Names of the columns.
    public var head: [String]
    /// Cells.
    public var rows: [[String]]
    /// Whether cells other than the first are numbers, which stand at the right.
    public var isNumeric: Bool

    /// A table.
    public init(_ caption: String, head: [String], _ rows: [[String]], isNumeric: Bool = true) {
      (self.caption, self.head, self.rows, self.isNumeric) = (caption, head, rows, isNumeric)
    }
  }

  /// A heading with what stands below it.
  public struct Section: Sendable {
    /// The heading.
    public var title: String
    /// What it holds.
    public var parts: [Part]
    /// Where links to it lead.
    fileprivate var id = ""

    /// A section.
    public init(_ title: String, _ parts: [Part]) { (self.title, self.parts) = (title, parts) }

    /// Whether nothing but texts is in it.
    public var isEmpty: Bool {
      parts.allSatisfy {
        switch $0 {
        case .text: true
        case .figures(let figures): figures.isEmpty
        case .table(let table): table.rows.isEmpty
        }
      }
    }
  }

  /// What the page is called.
  public var title: String
  /// A line below the title.
  public var subtitle: String
  /// The sections; empty ones are left out.
  public var sections: [Section]

  /// A page.
  public init(title: String, subtitle: String, _ sections: [Section]) {
    (self.title, self.subtitle) = (title, subtitle)
    self.sections = sections.filter { !$0.isEmpty }
    nameApart()
  }

  /// Numbers names of figures that were taken, since they are ids and names of files.
  private mutating func nameApart() {
    var taken: Set<String> = []
    func free(_ name: String) -> String {
      let name = name.isEmpty ? "figure" : name
      var (result, number) = (name, 1)
      while !taken.insert(result).inserted {
        number += 1
        result = "\(name)-\(number)"
      }
      return result
    }
    for index in sections.indices {
      sections[index].id = free("section-" + slug(sections[index].title))
    }
    for index in sections.indices {
      sections[index].parts = sections[index].parts.map { part in
        guard case .figures(var figures) = part else { return part }
        for figure in figures.indices { figures[figure].name = free(figures[figure].name) }
        return .figures(figures)
      }
    }
  }

  /// Every figure, in order.
  public var figures: [Figure] {
    sections.flatMap(\.parts).flatMap { part -> [Figure] in
      if case .figures(let figures) = part { figures } else { [] }
    }
  }

  /// The page's text.
  public var html: String {
    var number = (figure: 0, table: 0)
    let body = sections.map { section in
      let parts = section.parts.map { Self.html($0, &number) }.joined()
      return
        "<section id=\"\(section.id)\">\n<h2>\(escaped(section.title))</h2>\n\(parts)</section>\n"
    }.joined()
    let links = sections.map { "<a href=\"#\($0.id)\">\(escaped($0.title))</a>" }
    return """
      <!DOCTYPE html>
      <html lang="en">
      <head>
      <meta charset="utf-8"/>
      <meta name="viewport" content="width=device-width, initial-scale=1"/>
      <meta name="color-scheme" content="light dark"/>
      <title>\(escaped(title))</title>
      <style>
      \(Self.styleSheet)\(Palette.styleSheet)</style>
      </head>
      <body>
      <header>
      <h1>\(escaped(title))</h1>
      <p class="subtitle">\(escaped(subtitle))</p>
      <nav>\(links.joined(separator: " "))</nav>
      </header>
      <main>
      \(body)</main>
      </body>
      </html>

      """
  }

  private static func html(_ part: Part, _ number: inout (figure: Int, table: Int)) -> String {
    switch part {
    case .text(let text): return "<p>\(escaped(text))</p>\n"
    case .figures(let figures):
      let elements = figures.map { figure in
        number.figure += 1
        return """
          <figure id="\(figure.name)">
          \(figure.inline)<figcaption><b>Figure \(number.figure).</b> \(escaped(figure.caption))</figcaption>
          </figure>

          """
      }
      return figures.isEmpty ? "" : "<div class=\"figures\">\n\(elements.joined())</div>\n"
    case .table(let table):
      guard !table.rows.isEmpty else { return "" }
      number.table += 1
      return html(table, number.table)
    }
  }

  private static func html(_ table: Table, _ number: Int) -> String {
    let head = table.head.map { "<th scope=\"col\">\(escaped($0))</th>" }.joined()
    let rows = table.rows.map { row in
      let cells = row.enumerated().map { index, cell in
        index == 0 ? "<th scope=\"row\">\(escaped(cell))</th>" : "<td>\(escaped(cell))</td>"
      }
      return "<tr>\(cells.joined())</tr>\n"
    }
    return """
      <p class="caption" id="table-\(number)"><b>Table \(number).</b> \(escaped(table.caption))</p>
      <div class="scroll" tabindex="0" role="region" aria-labelledby="table-\(number)">
      <table\(table.isNumeric ? "" : " class=\"words\"")>
      <thead><tr>\(head)</tr></thead>
      <tbody>
      \(rows.joined())</tbody>
      </table>
      </div>

      """
  }

  private static let styleSheet = """
    :root { color-scheme: light dark }
    body { font: 15px/1.5 system-ui, -apple-system, 'Segoe UI', Helvetica, Arial, sans-serif; margin: 0;
      color: #1f2328; background: #ffffff }
    header, main { max-width: 1180px; margin: 0 auto; padding: 0 16px }
    h1 { font-size: 26px; line-height: 1.25; margin: 28px 0 4px; overflow-wrap: anywhere }
    h2 { font-size: 19px; margin: 36px 0 10px; padding-top: 10px; border-top: 1px solid #d8dee4 }
    .subtitle { color: #57606a; margin: 0 0 10px } nav { display: flex; flex-wrap: wrap; gap: 4px 16px }
    a { color: #0062a8 } p { max-width: 75ch }
    .figures { display: grid; grid-template-columns: repeat(auto-fill, minmax(min(100%, 440px), 1fr));
      gap: 20px 32px; margin: 14px 0 }
    figure { margin: 0; max-width: 620px; break-inside: avoid } .chart { display: block; width: 100%; height: auto }
    figcaption, .caption { font-size: 13px; line-height: 1.4; color: #57606a }
    figcaption { margin-top: 4px } .caption { margin: 20px 0 6px; break-after: avoid }
    .scroll { overflow-x: auto; margin: 0 0 16px }
    table { border-collapse: collapse; font-size: 13.5px; font-variant-numeric: tabular-nums }
    th, td { padding: 3px 12px 3px 0; text-align: right; vertical-align: top; white-space: nowrap }
    thead th { border-bottom: 1px solid #6e7781; border-top: 1px solid #6e7781; font-weight: 600 }
    tbody tr + tr > * { border-top: 1px solid #eaeef2 } tbody tr:last-child > * { border-bottom: 1px solid #6e7781 }
    th:first-child { text-align: left; font-weight: 500 }
    .words th, .words td { text-align: left; padding-right: 20px }
    .words td { white-space: normal; overflow-wrap: anywhere; min-width: 14ch }
    @media screen and (max-width: 600px) { tbody th { white-space: normal; min-width: 9em } }
    @media screen and (prefers-color-scheme: dark) {
      body { color: #e6edf3; background: #0d1117 } .subtitle, figcaption, .caption { color: #9da7b1 }
      h2 { border-color: #3d444d } a { color: #66b3f2 } tbody tr + tr > * { border-color: #2a313a }
      thead th, tbody tr:last-child > * { border-color: #6e7781 }
    }
    @media print {
      body { font-size: 10pt } header, main { max-width: none; padding: 0 } nav { display: none }
      .figures { grid-template-columns: 1fr 1fr; gap: 12pt 16pt } .scroll { overflow: visible }
      table, figcaption, .caption { font-size: 8.5pt } th, td { white-space: normal } h2 { break-after: avoid }
      tr, figure { break-inside: avoid }
    }

    """
}
