import Foundation
import JSON
import Testing

/// `statex probe` on one rank and several, and what it refuses.
@Suite(.serialized) struct ProbeTests {
  private let place: Workplace
  private let arguments = [
    "probe", "model", "--task", "mqar:pairs=[4,5],vocab=64,sequence_length=24", "--task",
    "passkey:sequence_length=300,samples=3", "--tokenizer", "byte", "--samples", "6",
    "--perplexity",
    "text", "--sequence-length", "40", "--window", "2,8", "--json", "probe.json",
  ]

  init() throws {
    place = try Workplace()
    try place.model()
    try place.tokenFile("text", count: 450)
  }

  @Test func ranksAndThreadsGiveTheSameBytes() throws {
    let done = try place.statex(arguments)
    #expect(done.code == 0 && done.errors.isEmpty, "\(done)")
    let alone = try place.bytes("probe.json")
    for (ranks, threads) in [(1, "2"), (2, "1"), (3, "1")] {
      let all = arguments + ["--threads", threads]
      let again = try ranks == 1 ? place.statex(all) : place.statex(ranks: ranks, all)
      #expect(again.code == 0 && again.output == done.output, "\(ranks) ranks: \(again)")
      #expect(try place.bytes("probe.json") == alone)
    }
    let json = try place.json("probe.json")
    #expect(json["format"]?.string == "statex-probe/1")
    let intact = try #require(json["intact"]?.array)
    #expect(intact.map { $0["name"]?.string } == ["mqar_4", "mqar_5", "passkey", "text"])
    #expect(intact.map { $0["samples"]?.integer(as: Int.self) } == [6, 6, 3, 11])
    #expect(intact.map { $0["recall"] } == [.bool(true), .bool(true), .bool(true), .bool(false)])
    let layers = try #require(json["layers"]?.array)
    let cuts = try #require(layers.first?["cuts"]?.array)
    let perTask = [2, 2, 8, 8]
    #expect(
      cuts.map { $0["window"]?.integer(as: Int.self) }
        == Array(repeating: perTask, count: 4).flatMap { $0 })
    let half = try #require(layers.first?["largest_rank"]?.integer(as: Int.self)) / 2
    #expect(cuts.prefix(4).map { $0["rank"]?.integer(as: Int.self) } == [0, half, 0, half])
    let order = try #require(json["order"]?.array)
    #expect(order.count == layers.count && json["recommended"]?.array == [order[0]])
    let best = try #require(order[0].integer(as: Int.self))
    #expect(done.output.hasSuffix("\nrecommended: expansion.layers: [\(best)]\n"))
  }

  @Test func scoresOfTheIntactModelAreThoseOfEvaluate() throws {
    #expect(try place.statex(arguments).code == 0)
    let task = ["--task", "mqar:pairs=5,vocab=64,sequence_length=24", "--samples", "6"]
    let text = ["--perplexity", "text", "--sequence-length", "40"]
    let measured = try place.statex(
      ["evaluate", "--model", "model", "--json", "report.json"] + task + text)
    #expect(measured.code == 0, "\(measured)")
    let (report, probe) = (try place.json("report.json"), try place.json("probe.json"))
    let intact = try #require(probe["intact"]?.array)
    #expect(intact[1]["accuracy"]?["mean"] == report["tasks"]?["mqar"]?["accuracy"])
    #expect(intact[1]["accuracy"]?["stderr"] == report["tasks"]?["mqar"]?["stderr"])
    let (mine, theirs) = (intact[3]["nll"]?["mean"]?.double, report["perplexity"]?["nll"]?.double)
    #expect(abs(try #require(mine) - (try #require(theirs))) < 1e-12)
  }

  @Test(
    arguments: [
      (["--window", "24"], 64, "--window 24: nothing is forgotten within the 24 tokens of mqar_4"),
      (["--window", "0"], 64, "--window must be between 1"),
      (["--window", "2,2"], 64, "--window names a number twice"),
      (["--choose", "9"], 64, "--choose 9: the model has 3 layers"),
      (["--task", "mqar:pairs=4,vocab=64"], 64, "two tasks would be reported as 'mqar_4'"),
    ])
  func refusals(more: [String], code: Int32, start: String) throws {
    let clash = more[0] == "--task" ? [more[0], more[1] + ",as=mqar_4"] : more
    let done = try place.statex(arguments + clash)
    #expect(done.code == code && done.output.isEmpty, "\(done)")
    #expect(done.errors.contains(start), "\(done)")
  }
}
