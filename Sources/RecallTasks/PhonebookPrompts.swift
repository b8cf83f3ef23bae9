import TensorStorage

/// Phonebook look-up (Jelassi et al., 2024): entries, two worked examples, then a name.
///
/// Names are distinct; two of the entries serve as examples and a third is asked for.
struct PhonebookPrompts: PromptGenerator {
  /// Entries in the book.
  ///
  /// Default 20.
  var entries = 20
  var maximumNewTokens: Int? = 50
  var questions = 1

  var name: String { "phonebook" }
  var metric: GenerationMetric { .exactMatch }
  var fixedSize: Int? { entries }
  var spelling: String { "entries=\(entries)" }

  /// The largest book that has distinct names.
  static var nameCount: Int { WordLists.firstNames.count * WordLists.lastNames.count }

  func prompt(size: Int, random: CounterRandom, depth: Double?, questions: Int) -> TextPrompt {
    var random = random
    var sampler = DistinctSampler(count: Self.nameCount, most: size)
    var chosen = [Int32](repeating: 0, count: size)
    sampler.draw(size, offset: 0, into: &chosen, using: &random)
    let book = chosen.map { index in
      let (first, last) = Int(index).quotientAndRemainder(dividingBy: WordLists.lastNames.count)
      var number = String(6 + random.below(4))
      for _ in 0..<9 { number += String(random.below(10)) }
      return PhonebookEntry(
        name: WordLists.firstNames[first] + " " + WordLists.lastNames[last], number: number)
    }
    var roles = [Int32](repeating: 0, count: 3)
    var roleSampler = DistinctSampler(count: size, most: 3)
    roleSampler.draw(3, offset: 0, into: &roles, using: &random)
    var prompt = Self.prompt(
      book: book, examples: [Int(roles[0]), Int(roles[1])], asked: Int(roles[2]))
    guard questions > 1 else { return prompt }
    let others = randomOrder(size, &random).filter { !roles.contains(Int32($0)) }
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
