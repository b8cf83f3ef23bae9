import Foundation
import JSON
import Testing

/// `statex compare` on reports, logs of samples and runs.
@Suite(.serialized) struct CompareTests {
  private let place: Workplace

  init() throws { place = try Workplace() }

  private func rows(_ more: String...) throws -> [JSONValue] {
    let done = try place.statex(["compare", "A=a.jsonl", "B=b.jsonl", "--format", "json"] + more)
    #expect(done.code == 0 && done.errors.isEmpty, "\(done)")
    return try #require(parse(done.output).array)
  }

  @Test func differencesAreOfTheSameSamples() throws {
    // B is right where A is, and on two samples more: a paired error far below that of either mean.
    let a = (0..<40).map { Double($0 % 2) }
    var b = a
    (b[0], b[2]) = (1, 1)
    try place.sampleLog("a.jsonl", a)
    try place.sampleLog("b.jsonl", b)
    let all = try rows()
    let row = try #require(
      all.first { $0["name"]?.string == "B" && $0["length"] == .null && $0["depth"] == .null })
    #expect(row["value"]?.double == 22.0 / 40 && row["samples"]?.integer() == 40)
    #expect(row["difference"]?.double == 0.05 && row["pairs"]?.integer() == 40)
    // Two ones among 40: deviation sqrt(2 (1 - 0.05)^2 + 38 0.05^2) / 39), over the root of 40.
    let deviation = ((2 * 0.95 * 0.95 + 38 * 0.05 * 0.05) / 39).squareRoot()
    #expect(
      abs(try #require(row["difference_stderr"]?.double) - deviation / 40.0.squareRoot()) < 1e-15)
    let low = try #require(row["difference_low"]?.double)
    let high = try #require(row["difference_high"]?.double)
    #expect(low == 0 && high >= 0.1 && high < 0.2)
    #expect(try #require(row["stderr"]?.double) > 2 * deviation / 40.0.squareRoot())
    let lengths = all.filter { $0["name"]?.string == "B" && $0["depth"] == .null }
    let numbers = lengths.compactMap { $0["length"]?.integer(as: Int.self) }
    #expect(numbers == [64, 128])
    #expect(lengths.last?["difference"]?.double == 0)
    let depths = all.compactMap { $0["depth"]?.double }
    #expect(depths.contains(0.1))
    // Draws follow the seed.
    #expect(try rows() == all)
    #expect(try rows("--seed", "0") == all)
  }

  @Test func theSameRowsAreTextAndCSV() throws {
    try place.sampleLog("a.jsonl", (0..<20).map { Double($0 % 2) })
    try place.sampleLog("b.jsonl", (0..<20).map { _ in 1 })
    let text = try place.statex("compare", "A=a.jsonl", "B=b.jsonl").output
    #expect(text.contains("passkey contains (%)"))
    #expect(text.contains("difference from A") && text.contains("+50.0 +- 11.5 ["))
    #expect(!text.contains("128 tokens"))
    #expect(
      try place.statex("compare", "A=a.jsonl", "B=b.jsonl", "--by-length").output
        .contains("128 tokens"))
    #expect(
      try place.statex("compare", "A=a.jsonl", "B=b.jsonl", "--by-depth").output
        .contains("depth to 1.0"))
    let csv = try place.statex("compare", "A,1=a.jsonl", "B=b.jsonl", "--format", "csv").output
    let lines = csv.split(separator: "\n")
    #expect(lines[0].hasPrefix("task,metric,length,depth,group,name,value,stderr,samples,"))
    #expect(lines[1].hasPrefix("passkey,contains,,,,\"A,1\",0.5,"))
    #expect(try rows().count == lines.count - 1)
  }

  @Test func reportsAndRunsAreReadToo() throws {
    try place.model()
    let done = try place.statex(
      "evaluate", "--model", "model", "--tokenizer", "byte", "--task",
      "passkey:sequence_length=[300,400]", "--samples", "2", "--json", "report.json",
      "--sample-log", "a.jsonl")
    #expect(done.code == 0)
    try FileManager.default.createDirectory(
      atPath: place.file("run"), withIntermediateDirectories: true)
    let report = String(decoding: try place.bytes("report.json"), as: UTF8.self)
      .split(separator: "\n").joined()
    try place.write(
      "{\"step\": 1}\n{\"step\": 2, " + report.dropFirst() + "\n", "run/evaluation.jsonl")
    let compared = try place.statex(
      "compare", "Report=report.json", "Run=run", "Log=a.jsonl", "--format", "json")
    let rows = try #require(parse(compared.output).array)
    for row in rows where row["name"]?.string != "Report" {
      let twin = rows.first { other in
        other["name"]?.string == "Report"
          && ["task", "metric", "length", "depth"].allSatisfy { other[$0] == row[$0] }
      }
      #expect(twin?["value"] == row["value"] && twin?["stderr"] == row["stderr"], "\(row)")
    }
    let names = Set(rows.compactMap { $0["name"]?.string })
    #expect(names.count == 3)
  }

  @Test func scoresThatAreNotNumbersHaveNoDifference() throws {
    try place.sampleLog("a.jsonl", [1, 0, 1, 0])
    try place.sampleLog("b.jsonl", [nil, 0, 1, 0])
    let all = try rows()
    let own = all.filter { $0["name"]?.string == "B" && $0["depth"] == .null }
    // The first sample is one of 64 tokens.
    #expect(own.map { $0["length"]?.integer(as: Int.self) } == [nil, 64, 128])
    #expect(own.map { $0["value"] == .null } == [true, true, false])
    #expect(own.map { $0["difference"]?.double } == [nil, nil, 0])
    #expect(try place.statex("compare", "A=a.jsonl", "B=b.jsonl").code == 0)
    // Sums that overflow either way.
    try place.sampleLog("b.jsonl", [1e308, 1e308, -1e308, -1e308])
    #expect(try rows().allSatisfy { $0["difference_low"] == .null || $0["length"] != .null })
  }

  @Test func whatCannotBeComparedIsSaid() throws {
    try place.sampleLog("a.jsonl", [1, 0])
    try place.sampleLog("b.jsonl", [1, 0], seed: 1)
    let other = try place.statex("compare", "A=a.jsonl", "B=b.jsonl")
    #expect(other.code == 65 && other.errorLine?.contains("`seed`") == true, "\(other)")
    try place.write("{\"x\": 1}", "x.json")
    #expect(try place.statex("compare", "A=x.json").code == 65)
    #expect(try place.statex("compare", "A=nowhere.json").code == 74)
    #expect(try place.statex("compare", "a.jsonl").code == 64)
  }
}
