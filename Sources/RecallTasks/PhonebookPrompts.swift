import TensorStorage

/// Phonebook look-up (Jelassi et al., 2024): entries, two worked examples, then a name.
///
/// Names are distinct; two of the entries serve as examples and a third is asked for.
struct PhonebookPrompts: PromptGenerator {
  /// Entries in the book; of several numbers, one is drawn for each prompt; none fills the sequence.
  ///
  /// Default 20.
  var entries = [20]
  var maximumNewTokens: Int? = 50
  var questions = 1

  var name: String { "phonebook" }
  var metric: GenerationMetric { .exactMatch }
  var fixedSizes: [Int] { entries }
  var spelling: String {
    switch entries.count {
    case 0: "entries=fill"
    case 1: "entries=\(entries[0])"
    default: "entries=\(entries)"
    }
  }

  /// The largest book of a given size that has distinct names.
  static var nameCount: Int { WordLists.firstNames.count * WordLists.lastNames.count }

  func prompt(size: Int, random: CounterRandom, depth: Double?, questions: Int) -> TextPrompt {
    var random = random
    guard !entries.isEmpty else {
      // The smallest book has two entries for examples and one for each question.
      return fillingPrompt(size + questions + 1, &random, depth, questions)
    }
    let book = book(size, &random)
    var roles = [Int32](repeating: 0, count: 3)
    var roleSampler = DistinctSampler(count: size, most: 3)
    roleSampler.draw(3, offset: 0, into: &roles, using: &random)
    return prompt(book, roles.map { Int($0) }, questions, &random)
  }

  /// The prompt of a book and the first roles in it, with further questions about other entries.
  private func prompt(
    _ book: [PhonebookEntry], _ roles: [Int], _ questions: Int, _ random: inout CounterRandom
  ) -> TextPrompt {
    var prompt = Self.prompt(book: book, examples: [roles[0], roles[1]], asked: roles[2])
    guard questions > 1 else { return prompt }
    let others = randomOrder(book.count, &random).filter { !roles.contains($0) }
    prompt.further = others.prefix(questions - 1).map {
      (question: book[$0].name + ":", answer: book[$0].number)
    }
    return prompt
  }

  /// The prompt for a given book.
  static func prompt(book: [PhonebookEntry], examples: [Int], asked: Int) -> TextPrompt {
    let lines = book.map { $0.name + ": " + $0.number }
    return TextPrompt(
      head: lines.joined(separator: "\n") + "\n\n",
      needle: examples.map { lines[$0] }.joined(separator: "\n") + "\n\n",
      tail: book[asked].name + ":", answers: [book[asked].number],
      depth: Double(asked) / Double(max(book.count - 1, 1)))
  }

  /// A book of a given size.
  private func book(_ size: Int, _ random: inout CounterRandom) -> [PhonebookEntry] {
    var sampler = DistinctSampler(count: Self.nameCount, most: size)
    var chosen = [Int32](repeating: 0, count: size)
    sampler.draw(size, offset: 0, into: &chosen, using: &random)
    return chosen.map { index in
      PhonebookEntry(name: Self.name(Int(index)), number: Self.number(&random))
    }
  }

  private static func name(_ index: Int) -> String {
    let (first, last) = index.quotientAndRemainder(dividingBy: WordLists.lastNames.count)
    return WordLists.firstNames[first] + " " + WordLists.lastNames[last]
  }

  private static func number(_ random: inout CounterRandom) -> String {
    var number = String(6 + random.below(4))
    for _ in 0..<9 { number += String(random.below(10)) }
    return number
  }
}

// MARK: Books that fill the sequence

extension PhonebookPrompts {
  /// A prompt whose smaller sizes have the first of its entries: a longer one only adds to it.
  ///
  /// With a depth, the entry at that part of the book is asked for.
  private func fillingPrompt(
    _ size: Int, _ random: inout CounterRandom, _ depth: Double?, _ questions: Int
  ) -> TextPrompt {
    // The places are drawn as parts of the book, before its size matters.
    let places = (0..<3).map { _ in random.uniform() }
    var book: [PhonebookEntry] = []
    var seen: Set<String> = []
    while book.count < size {
      let name = Self.longName(&random)
      let number = Self.number(&random)
      if seen.insert(name).inserted { book.append(PhonebookEntry(name: name, number: number)) }
    }
    let asked = min(Int((depth ?? places[2]) * Double(size)), size - 1)
    var free = Array(0..<size).filter { $0 != asked }
    let examples = places.prefix(2).map { place in
      free.remove(at: Int(place * Double(free.count)))
    }
    return prompt(book, examples + [asked], questions, &random)
  }

  /// A name with one of 26 middle initials, or none: enough of them for any sequence.
  private static func longName(_ random: inout CounterRandom) -> String {
    let first = WordLists.firstNames[random.below(WordLists.firstNames.count)]
    let initial = random.below(27)
    let last = WordLists.lastNames[random.below(WordLists.lastNames.count)]
    let letter = initial == 26 ? "" : " \(Character(Unicode.Scalar(UInt8(65 + initial))))."
    return first + letter + " " + last
  }
}

/// A line of a phonebook.
public struct PhonebookEntry: Sendable, Equatable {
  /// First and last name.
  public let name: String

  /// Ten digits.
  public let number: String

  /// An entry.
  public init(name: String, number: String) {
    self.name = name
    self.number = number
  }
}

/// The phonebook prompt for a given book.
///
/// - Parameters:
///   - book: the entries.
///   - examples: which entries are repeated as worked examples.
///   - asked: which entry's number is asked for.
/// - Returns: the prompt's text.
public func phonebookPrompt(book: [PhonebookEntry], examples: [Int], asked: Int) -> String {
  PhonebookPrompts.prompt(book: book, examples: examples, asked: asked).text
}
