import TensorStorage

/// Plain English sentences that the program makes up, for needles to be hidden in where the user gives no
/// text of his own: always the same ones.
///
/// There are no digits in it and no word that is an `adjective-noun` key.
enum GeneratedText {
  /// `%a` is an adjective, `%n` a noun, `%p` a first name, `%v` a verb in the past, `%w` a place.
  private static let patterns = [
    "The %a %n stood %w, and nobody %v it.",
    "%p %v the %n before the %a %n was brought back.",
    "Some say that a %a %n is worth more than a %n.",
    "It was late when %p and %p %v the %a %n %w.",
    "Why should a %n be %a?",
    "Every %n has its %n, as %p used to say.",
    "In the end the %n was neither %a nor %a.",
    "%p asked for a %n, but there was only a %a %n %w.",
    "\"That %n is %a,\" said %p, who had %v it twice.",
    "Nothing about the %n was %a, except that it lay %w.",
    "They %v the %n slowly, because the %n had been %a since morning.",
    "What a %a %n it was!",
    "Between the %n and the %n there was room for a %a %n.",
    "When the %a %n was gone, %p %v another one %w.",
    "A %n that is %a in spring may well be %a in autumn.",
    "%p never %v a %n without thinking of the %a %n %w.",
    "The letter spoke of a %n, of two %a days, and of what %p had %v.",
    "Nobody knew whose %n it was, or why %p had %v it.",
    "If the %n is %a enough, the %n need not be.",
    "The road went past the %a %n and ended %w.",
  ]

  private static let verbs = [
    "bought", "carried", "described", "drew", "followed", "forgot", "found", "kept", "lost",
    "mended", "missed", "moved", "noticed", "opened", "painted", "praised", "remembered", "sold",
    "took", "watched",
  ]

  private static let places = [
    "across the river", "at the edge of the field", "behind the old wall", "beside the gate",
    "by the window", "far from the village", "in the long grass", "near the station",
    "on the upper shelf", "under the stairs",
  ]

  /// The first sentences that have at least `words` words together.
  static func text(words: Int) -> String {
    var text = ""
    var count = 0
    var random = CounterRandom(seed: 0, purpose: "haystack/generated")
    while count < words {
      let sentence = sentence(&random)
      count += sentence.utf8.count { $0 == UInt8(ascii: " ") } + 1
      text += (text.isEmpty ? "" : " ") + sentence
    }
    return text
  }

  private static func sentence(_ random: inout CounterRandom) -> String {
    func any(_ list: [String]) -> String { list[random.below(list.count)] }
    let pieces = any(patterns).split(separator: "%", omittingEmptySubsequences: false)
    return pieces.dropFirst().reduce(String(pieces[0])) { sentence, piece in
      let list =
        switch piece.first {
        case "a": WordLists.adjectives
        case "n": WordLists.nouns
        case "p": WordLists.firstNames
        case "v": verbs
        default: places
        }
      return sentence + any(list) + piece.dropFirst()
    }
  }
}

extension Haystack {
  /// The text that needles are hidden in where the user gives none.
  static let generated: Haystack = {
    guard let haystack = Haystack(GeneratedText.text(words: 200_000), file: nil) else {
      fatalError("the generated text has no words")
    }
    return haystack
  }()

  /// One of the text's sentences.
  func anySentence(_ random: inout CounterRandom) -> Int {
    random.below(max(sentenceCount(before: wordCount), 1))
  }
}
