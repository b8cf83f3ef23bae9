import Files
import JSON
import Testing

@Suite struct JSONValueTests {
  private func parse(_ text: String, nonFinite: Bool = false) throws -> JSONValue {
    try Array(text.utf8).withUnsafeBytes {
      try JSONValue(parsing: $0, source: "t.json", allowsNonFinite: nonFinite)
    }
  }

  @Test func keepsOrderAndDigits() throws {
    let text =
      #"{"z":18446744073709551615,"a":[1,-2.50e+3,"x\"\\\u0007"],"n":null,"t":[{"b":true}]}"#
    let value = try parse(text)
    #expect(value["z"]?.integer(as: UInt64.self) == .max)
    #expect(value["z"]?.integer() == nil)
    #expect(value["a"]?.array?[1] == .number("-2.50e+3"))
    #expect(value["a"]?.array?[1].double == -2500)
    #expect(value["a"]?.array?[2].string == "x\"\\\u{7}")
    let encoded = value.encoded()
    #expect(try encoded.withUnsafeBytes { try JSONValue(parsing: $0, source: "t") } == value)
  }

  @Test(arguments: [
    "", "{", "[1,]", "{\"a\":1,}", "{a:1}", "nul", "01", "1.", "1e", "+1", "'a'", "[1 2]", "1 2",
    "NaN", "Infinity", "// x\n1", "\"\\x\"", "{\"a\":1,\"a\":2}",
  ])
  func refuses(_ text: String) {
    #expect(throws: FileError.self) { try parse(text) }
  }

  @Test func numbersThatAreNotFiniteAreNull() throws {
    for value in [Double.nan, .infinity, -.infinity] {
      #expect(JSONValue(value) == .null && JSONValue(Float(value)) == .null)
      #expect(JSONValue(orText: value) == .string("\(value)"))
      // Python's own reader takes these, and ours only on request.
      #expect(throws: FileError.self) {
        try parse([JSONMember("a", JSONValue(python: value))].line)
      }
    }
    let members = [
      JSONMember("mean", JSONValue(Double.nan)),
      JSONMember("least", JSONValue(Double.leastNonzeroMagnitude)),
      JSONMember("third", JSONValue(Float(1) / 3)), JSONMember("words", .object([])),
      JSONMember("which", .object([JSONMember("a\u{1}\"", JSONValue(orText: -.infinity))])),
    ]
    let line = members.line
    #expect(
      line == #"{"mean": null, "least": 5e-324, "third": 0.33333334, "words": {}, "#
        + #""which": {"a\u0001\"": "-inf"}}"# + "\n")
    #expect(try parse(line) == .object(members))
    #expect(JSONValue.null.doubleOrNaN?.isNaN == true && JSONValue.number("2").doubleOrNaN == 2)
    #expect(JSONValue.string("nan").doubleOrNaN == nil)
  }

  @Test func acceptsNonFiniteOnRequest() throws {
    let value = try parse(#"{"time_step_limit":[0.0,Infinity,-Infinity,NaN]}"#, nonFinite: true)
    let limits = value["time_step_limit"]?.array?.compactMap(\.double)
    #expect(limits?.prefix(3) == [0, .infinity, -.infinity])
  }
}
