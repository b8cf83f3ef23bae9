import Testing
import Training

@Suite struct RecipeDurationTests {
  @Test func durationsAreReadAndWrittenInTheirLargestUnit() {
    let texts = [
      ("90s", 90, "90s"), ("60s", 60, "1min"), ("30min", 1800, "30min"), ("12h", 43_200, "12h"),
      ("48h", 172_800, "2d"), ("2d", 172_800, "2d"), ("3601s", 3601, "3601s"),
    ]
    for (text, seconds, again) in texts {
      let duration = RecipeDuration(text)
      #expect(duration?.seconds == seconds, "\(text)")
      #expect(duration?.description == again, "\(text)")
    }
  }

  @Test(arguments: [
    "", "s", "90", "0s", "-5s", "+5s", "1.5h", "5 min", "5m", "5H", "1h30min", "s90",
    "9223372036854775807d", "36601d", "99999999999999999999s",
  ])
  func anythingElseIsNone(_ text: String) {
    #expect(RecipeDuration(text) == nil)
  }
}
