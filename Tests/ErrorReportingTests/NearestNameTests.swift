import ErrorReporting
import Testing

@Suite struct NearestNameTests {
  @Test(arguments: [
    ("stpes", "steps"), ("Steps", "steps"), ("chekpoint", "checkpoint"),
    ("warmupsteps", "warmup_steps"),
    ("st", nil), ("stepping_stones", nil), ("", nil), ("qqqqqqqq", nil),
  ])
  func aNameIsSuggestedWhenItIsNearEnough(word: String, expected: String?) {
    let names = ["steps", "checkpoint", "warmup_steps"]
    #expect(nearestName(to: word, among: names) == expected)
  }

  @Test func theFirstOfEquallyNearNamesCounts() {
    #expect(nearestName(to: "lat", among: ["let", "lot"]) == "let")
    #expect(nearestName(to: "lat", among: ["lot", "let"]) == "lot")
  }

  @Test func nothingIsSuggestedWithoutNamesOrForAText() {
    #expect(nearestName(to: "steps", among: []) == nil)
    let long = String(repeating: "x", count: 65)
    #expect(nearestName(to: long, among: [long]) == nil)
  }
}
