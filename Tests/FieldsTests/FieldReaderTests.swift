import Fields
import JSON
import Testing

/// The text of the error that `body` throws.
private func message(_ body: () throws(FieldError) -> some Any) -> String {
  do {
    return "no error: \(try body())"
  } catch {
    return error.description
  }
}

/// A reader of a JSON object in the file `f.json`, below the path `a`.
private func reader(_ text: String, keys: [String]? = nil) throws -> FieldReader {
  let json = try Array(text.utf8).withUnsafeBytes {
    try JSONValue(parsing: $0, source: "f.json", allowsNonFinite: true)
  }
  return try FieldReader(FieldValue(json: json, place: .source("f.json")), path: "a", keys: keys)
}

@Suite struct FieldReaderTests {
  @Test func unknownKeysNameTheNearestOrAll() throws {
    let text = #"{"widht": 1}"#
    #expect(
      message { () throws(FieldError) in
        try FieldReader(FieldValue(.mapping([.init("widht", 1)])), keys: ["width", "depth"])
      } == "value: unknown key `widht`; did you mean `width`?")
    #expect(
      message { () throws(FieldError) in
        try FieldReader(FieldValue(.mapping([.init("x", 1)])), keys: ["width"], besides: ["depth"])
      } == "value: unknown key `x`; known here: width, depth")
    #expect(try reader(text, keys: nil).entries.map(\.key) == ["widht"])
  }

  @Test func keysOfOthersArePassedOver() throws {
    let value: FieldValue = ["width": 1, "depth": 2]
    let reader = try FieldReader(value, keys: ["width"], besides: ["depth"])
    #expect(try reader.integer("width", .atLeast(1)) == 1)
  }

  @Test(arguments: [
    ("0", "must be at least 1, found 0"), ("-3", "must be at least 1, found -3"),
    ("1073741825", "must be at most 1073741824, found 1073741825"),
    ("9223372036854775807", "must be at most 1073741824, found 9223372036854775807"),
    ("9223372036854775808", "must be at most 1073741824, found 9.223372036854776e+18"),
    ("-9223372036854775809", "must be at least 1, found -9.223372036854776e+18"),
    ("1e400", "must be at most 1073741824, found inf"),
    ("2.5", "expected an integer, found the number 2.5"),
    ("1e3", "expected an integer, found the number 1000.0"),
    ("\"7\"", "expected an integer, found the text \"7\""),
    ("true", "expected an integer, found true"), ("{}", "expected an integer, found a mapping"),
    ("null", "expected an integer, found nothing (write a value or leave the key out)"),
  ])
  func anIntegerThatIsNoneIsOneLine(text: String, says: String) throws {
    let reader = try reader("{\"n\": \(text)}")
    #expect(
      message { () throws(FieldError) in try reader.integer("n", .atLeast(1)) }
        == "f.json: `a.n`: \(says)")
  }

  @Test(arguments: [
    ("NaN", "must be a number, found nan"), ("Infinity", "must be at most 1e+30, found inf"),
    ("-Infinity", "must be at least -1e+30, found -inf"), ("-1e31", "must be at least -1e+30"),
    ("1e999", "must be at most 1e+30, found inf"), ("0", "must be above 0.0, found 0.0"),
    ("[1]", "expected a number, found a list of 1"),
  ])
  func aNumberThatIsNoneIsOneLine(text: String, says: String) throws {
    let reader = try reader("{\"x\": \(text)}")
    #expect(
      message { () throws(FieldError) in try reader.number("x", .above(0)) }
        .hasPrefix("f.json: `a.x`: \(says)"))
  }

  @Test func absentKeysHaveTheirDefaultsAndRequiredOnesAreNamed() throws {
    let reader = try reader(#"{"nothing": null}"#)
    #expect(try reader.integer("n", default: 7, .any) == 7)
    #expect(try reader.optionalInteger("nothing", .any) == nil)
    #expect(try reader.optionalNumber("x") == nil && reader.optionalText("t") == nil)
    #expect(try reader.numbers("xs", default: [1], .any) == [1])
    #expect(
      message { () throws(FieldError) in try reader.text("t") }
        == "f.json: the required key `a.t` is missing")
  }

  @Test func listsAreReadElementByElement() throws {
    let reader = try reader(#"{"n": [3, 4], "one": 5, "bad": [1, -1], "words": ["a", "b"]}"#)
    #expect(try reader.integers("n", .atLeast(1)) == [3, 4])
    #expect(try reader.integers("one", .atLeast(1), orOne: true) == [5])
    #expect(try reader.texts("words") == ["a", "b"])
    #expect(
      message { () throws(FieldError) in try reader.integers("one", .any) }
        == "f.json: `a.one`: expected a list of integers, found the integer 5")
    #expect(
      message { () throws(FieldError) in try reader.integers("bad", .atLeast(1)) }
        == "f.json: `a.bad`: must be at least 1, found -1")
    #expect(try reader.list("n").map(\.path) == ["a.n.0", "a.n.1"])
  }

  @Test func mappingsInsideKeepTheirPath() throws {
    let reader = try reader(#"{"layers": [{"heads": 0}], "gate": 3}"#)
    let layer = try #require(try reader.mappings("layers").first)
    #expect(
      message { () throws(FieldError) in try layer.integer("heads", .between(1, 8)) }
        == "f.json: `a.layers.0.heads`: must be between 1 and 8, found 0")
    #expect(
      message { () throws(FieldError) in try reader.mapping("gate") }
        == "f.json: `a.gate`: expected a mapping of keys, found the integer 3")
    #expect(try reader.optionalMapping("none") == nil)
  }

  @Test func wordsAreThoseOfTheEnumeration() throws {
    enum Fill: String, CaseIterable { case exact, loose }
    let reader = try reader(#"{"fill": "exacd", "other": "qqqqqqq", "right": "loose"}"#)
    #expect(try reader.choice("right") == Fill.loose)
    #expect(try reader.choice("absent", default: Fill.exact) == .exact)
    #expect(
      message { () throws(FieldError) in try reader.choice("fill") as Fill }
        == "f.json: `a.fill`: expected one of exact, loose, found `exacd`; did you mean `exact`?")
    #expect(
      message { () throws(FieldError) in try reader.choice("other") as Fill }
        == "f.json: `a.other`: expected one of exact, loose, found `qqqqqqq`")
  }

  @Test(arguments: [
    (FieldValue.integer(5), 5), ("4GB", 4_000_000_000), ("1.5 GiB", 1_610_612_736), ("2kB", 2000),
  ])
  func bytesHaveUnits(value: FieldValue, count: Int) throws {
    #expect(try FieldReader(["memory": value], keys: nil).bytes("memory") == count)
  }

  @Test(
    arguments: ["9e9GB", "-1GB", "4 gigabytes", 1.5, 9_223_372_036_854_775_807] as [FieldValue])
  func bytesThatAreNoneAreRefused(value: FieldValue) throws {
    let reader = try FieldReader(["memory": value], keys: nil)
    #expect(
      message { () throws(FieldError) in try reader.bytes("memory") }
        .hasPrefix("value: `memory`: expected bytes, for example 4000000000, 4GB or 3.5GiB"))
  }
}

@Suite struct FieldValueTests {
  @Test func jsonBecomesTheSameTreeAndBack() throws {
    let text = #"{"z": 1, "a": [2.5, true, null, "t"], "o": {}, "big": 18446744073709551615}"#
    let json = try Array(text.utf8).withUnsafeBytes { try JSONValue(parsing: $0, source: "t") }
    let value = FieldValue(json: json, place: .source("t"))
    let expected: FieldValue = [
      "z": 1, "a": [2.5, true, FieldValue(.null), "t"], "o": [:], "big": 0x1p64,
    ]
    #expect(value == expected)
    #expect(value["a"]?.place == .source("t"))
    #expect(value["a"]?.jsonValue == .array([.number("2.5"), .bool(true), .null, .string("t")]))
  }

  @Test func membersAreReplacedInPlaceAndAppended() {
    var value: FieldValue = ["a": 1, "b": 2]
    value["a"] = 3
    value["c"] = 4
    value["b"] = nil
    #expect(value == ["a": 3, "c": 4])
  }

  @Test func placesAreNoPartOfEquality() {
    let here = FieldValue(.integer(1), place: .line(file: "r.yaml", 3))
    #expect(here == 1 && here.place.description == "r.yaml:3")
  }
}

@Suite struct FieldTableTests {
  private struct Section: FieldSection, Equatable {
    var width = 4
    var depth: Int?
    var rate = 0.5

    static var fields: [Field<Section>] {
      [
        .integer("width", \.width, .between(1, 8), unit: "channels", standard: "4", "how wide"),
        .integer("depth", \.depth, .atLeast(2), standard: "none", "how deep"),
        .number("rate", \.rate, .over(0, atMost: 1), standard: "0.5", "how fast"),
      ]
    }
  }

  @Test func aTableOfKeysDecodesAndEncodes() throws {
    let reader = try FieldReader(["depth": 3, "rate": 1], keys: Section.keys)
    let section = try reader.read(Section())
    #expect(section == Section(width: 4, depth: 3, rate: 1))
    #expect(section.value == ["width": 4, "depth": 3, "rate": 1.0])
    #expect(Section().value == ["width": 4, "rate": 0.5])
    let wrong = try FieldReader(["rate": 1.5], keys: Section.keys)
    #expect(
      message { () throws(FieldError) in try wrong.read(Section()) }
        == "value: `rate`: must be above 0.0 and at most 1.0, found 1.5")
  }

  @Test func aTableOfKeysIsWritten() {
    #expect(
      FieldKey.table(Section.described(below: "x")) == """
        | key | type | unit | default | range | meaning |
        |---|---|---|---|---|---|
        | `x.width` | integer | channels | 4 | 1 to 8 | how wide |
        | `x.depth` | integer |  | none | >= 2 | how deep |
        | `x.rate` | number |  | 0.5 | > 0 and <= 1 | how fast |
        """)
    let keys = Section.fields.flatMap(\.described)
    #expect(
      FieldKey.table([("a", Array(keys[1...2])), ("b", [keys[1]])], head: "task") == """
        | task | key | type | default | range | meaning |
        |---|---|---|---|---|---|
        | `a` | `depth` | integer | none | >= 2 | how deep |
        |  | `rate` | number | 0.5 | > 0 and <= 1 | how fast |
        | `b` | `depth` | integer | none | >= 2 | how deep |
        """)
  }
}
