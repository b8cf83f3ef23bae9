import Fields
import RecallTasks
import Testing

@Suite struct MQARUpdateTests {
  @Test(arguments: [true, false])
  func theLastValueOfAKeyCounts(_ dense: Bool) throws {
    let (pairs, updates) = (6, 4)
    let task = try source(
      "mqar",
      [
        "vocab": 64, "pairs": .integer(pairs), "updates": .integer(updates),
        "layout": dense ? "dense" : "zoology", "random_non_queries": false,
      ], length: dense ? 47 : 48)
    let first = dense ? 1 : 0
    var updated = [Int](repeating: 0, count: pairs)
    for index in 0..<300 as Range<UInt64> {
      let sample = try SampleArrays(task, index)
      var values: [Int32: Int32] = [:]
      var order: [Int32] = []
      for pair in 0..<(pairs + updates) {
        let key = sample.inputs[first + 2 * pair]
        let value = sample.inputs[first + 2 * pair + 1]
        #expect((1...31).contains(key) && (32...63).contains(value))
        if pair < pairs { order.append(key) }
        #expect((values[key] == nil) == (pair < pairs), "updates come after the pairs")
        #expect(values[key] != value, "another value")
        if pair >= pairs { updated[order.firstIndex(of: key) ?? 0] += 1 }
        values[key] = value
      }
      let context = first + 2 * (pairs + updates)
      #expect(Set(sample.inputs[..<context]).count == 2 * pairs + updates + first || dense)
      #expect(sample.counted.allSatisfy { $0 >= context })
      #expect(sample.counted.allSatisfy { sample.targets[$0] == values[sample.inputs[$0]] })
      #expect(Set(sample.counted.map { sample.inputs[$0] }) == Set(order))
    }
    // Each key 200 times of 300, with a standard deviation of 8.
    #expect(updated.allSatisfy { abs($0 - 200) < 40 }, "\(updated)")
  }

  /// With all keys updated, knowing the first values only is worth nothing.
  @Test func everyKeyMayBeUpdated() throws {
    let task = try source(
      "mqar", ["vocab": 64, "pairs": 4, "updates": 4, "random_non_queries": false], length: 24)
    for index in 0..<50 as Range<UInt64> {
      let sample = try SampleArrays(task, index)
      let old = Set((0..<4).map { sample.inputs[2 * $0 + 1] })
      #expect(sample.counted == [16, 18, 20, 22])
      #expect(sample.counted.allSatisfy { !old.contains(sample.targets[$0]) })
    }
  }
}

@Suite struct CopyingFormTests {
  @Test(arguments: ["copying", "selective_copying"])
  func s4AsksWithAMarkerForEachToken(_ name: String) throws {
    let task = try source(name, ["vocab": 10, "tokens": 4, "form": "s4"], length: 23)
    var places = [Int](repeating: 0, count: 19)
    var seen: Set<Int32> = []
    for index in 0..<2000 as Range<UInt64> {
      let sample = try SampleArrays(task, index)
      let content = sample.inputs[..<19].filter { $0 != 0 }
      #expect(content.count == 4)
      seen.formUnion(content)
      #expect(sample.inputs[19...].allSatisfy { $0 == 9 } && sample.counted == [19, 20, 21, 22])
      #expect(Array(sample.targets[19...]) == Array(content))
      for place in 0..<19 where sample.inputs[place] != 0 { places[place] += 1 }
    }
    #expect(seen == Set(1...8))
    if name == "copying" {
      #expect(places == [2000, 2000, 2000, 2000] + [Int](repeating: 0, count: 15))
    } else {
      // 421 each, with a standard deviation of 18.
      #expect(places.allSatisfy { abs($0 - 2000 * 4 / 19) < 80 })
    }
  }

  @Test func theLongestContentLeavesNoNoise() throws {
    for (form, length) in [("mad", 9), ("mad", 10), ("s4", 8), ("s4", 9)] {
      let task = try source(
        "selective_copying", ["tokens": 4, "form": .text(form)], length: length)
      let sample = try SampleArrays(task, 0)
      #expect(
        Array(sample.targets.suffix(4)) == sample.inputs.filter { (1...14).contains($0) }
          || form == "mad")
      #expect(sample.counted == Array((length - 4)..<length))
    }
  }
}

@Suite struct StringCopyingTests {
  /// A row as text: `$`, `|`, `.` and `*` after the letters.
  private func text(_ ids: [Int32], letters: Int) -> String {
    String(
      ids.map { id in
        let special = Int(id) - letters
        return special >= 0
          ? Array("$|.*")[special] : Character(Unicode.Scalar(UInt8(97 + Int(id))))
      })
  }

  /// The examples of a row, and for each of its targets whether it counts.
  private func row(_ options: FieldValue, _ index: UInt64, length: Int) throws -> String {
    let task = try source("string_copying", options, length: length)
    let sample = try SampleArrays(task, index)
    #expect(Array(sample.inputs[1...]) == Array(sample.targets.dropLast()))
    let marks = sample.weights.map { $0 == 1 ? "^" : " " }
    let all = text([sample.inputs[0]] + sample.targets, letters: 26)
    var result = ""
    // A target stands one place after its input.
    for (letter, mark) in zip(all, [" "] + marks) {
      result += mark == "^" ? "<\(letter)>" : "\(letter)"
    }
    return result
  }

  @Test func copiesAreAskedForInFull() throws {
    for index in 0..<50 as Range<UInt64> {
      let row = try row(["min_length": 4, "max_length": 9], index, length: 61)
      let plain = row.filter { !"<>".contains($0) }
      #expect(plain.count == 62)
      let examples = plain.split(separator: ".").filter { $0.hasPrefix("$") }
      #expect(examples.count >= 2)
      for example in examples {
        let strings = example.dropFirst().split(separator: "|")
        #expect(strings.count == 2 && strings[0] == strings[1])
        #expect((4...9).contains(strings[0].count))
        let answer = (strings[1] + ".").map { "<\($0)>" }.joined()
        #expect(row.contains("$\(strings[0])|\(answer)"), "only the answer counts")
      }
      let counted = row.count { $0 == "<" }
      #expect(counted == examples.reduce(0) { $0 + $1.count / 2 })
      #expect(plain.drop { $0 != "*" }.allSatisfy { $0 == "*" })
    }
  }

  @Test(arguments: ["prefix_lookup", "suffix_lookup"], [0, 2])
  func lookupsAskForWhatFollows(_ mode: String, _ answer: Int) throws {
    var lengths: Set<Int> = []
    for index in 0..<60 as Range<UInt64> {
      let row = try row(
        ["mode": .text(mode), "min_length": 6, "max_length": 9, "answer": .integer(answer)], index,
        length: 70)
      let plain = row.filter { !"<>".contains($0) }
      for example in plain.split(separator: ".").filter({ $0.hasPrefix("$") }) {
        let parts = example.dropFirst().split(separator: "|").map(String.init)
        let isPrefix = mode == "prefix_lookup"
        let string = parts[isPrefix ? 1 : 0]
        let ngram = isPrefix ? parts[0] : String(parts[1].prefix(3))
        let told = isPrefix ? parts[2] : String(parts[1].dropFirst(3))
        let pieces = string.components(separatedBy: ngram)
        #expect(pieces.count == 2 && ngram.count == 3, "the n-gram occurs once")
        #expect(told == (answer == 0 ? pieces[1] : String(pieces[1].prefix(2))))
        #expect(!told.isEmpty && (answer == 0 || told.count == answer))
        lengths.insert(told.count)
        let asked = isPrefix ? "$\(ngram)|\(string)|" : "$\(string)|\(ngram)"
        #expect(row.contains(asked + (told + ".").map { "<\($0)>" }.joined()))
      }
    }
    #expect(lengths == (answer == 0 ? Set(1...6) : [2]))
  }
}

@Suite struct ChanceTests {
  /// A model that draws answers evenly is right as often as `chance` says.
  @Test(
    arguments: [
      ("mqar", ["vocab": 40, "updates": 2], 64), ("copying", ["vocab": 9, "tokens": 7], 64),
      ("selective_copying", ["form": "s4"], 64), ("string_copying", ["letters": 5], 128),
      ("markov", [:], 64),
    ] as [(String, FieldValue, Int)])
  func guessing(_ name: String, _ options: FieldValue, _ length: Int) throws {
    let configuration = try RecallTaskConfiguration(name: name, options: options)
    let chance = try #require(configuration.chance)
    let task = try source(name, options, length: length)
    var answers: [Int32: Int] = [:]
    for index in 0..<400 as Range<UInt64> {
      let sample = try SampleArrays(task, index)
      for position in sample.counted { answers[sample.targets[position], default: 0] += 1 }
    }
    // As many possible answers as the chance says; drawing evenly is then right that often.
    #expect(answers.count == Int((1 / chance).rounded()), "\(answers.keys.sorted())")
  }
}
