extension RecallTaskConfiguration {
  /// Token accuracy of a model that draws its answers evenly from those that the task knows.
  ///
  /// One over the number of values (`mqar`), content ids (copying), letters and the
  /// full stop (`string_copying`), symbols
  /// (`markov`) or classes (`classification`); nil for other tasks on text, where nothing is right by chance. A model that knows which values stand in an
  /// `mqar` row, but not whose they are, reaches one over the number of pairs.
  public var chance: Double? {
    switch kind {
    case .mqar(let mqar): 1 / Double(max(mqar.valueCount, 1))
    case .copying(let copying): 1 / Double(max(copying.vocabulary - 2, 1))
    case .markov(let markov): 1 / Double(max(markov.symbols, 1))
    case .stringCopying(let copying): 1 / Double(copying.letters + 1)
    case .text(let generator): generator.chance
    }
  }
}
