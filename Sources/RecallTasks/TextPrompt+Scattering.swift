import TensorStorage

extension TextPrompt {
  /// A prompt with needles at random places between `blocks` repetitions of a block, in their order.
  ///
  /// - Parameters:
  ///   - head: what comes first.
  ///   - block: what is repeated.
  ///   - needles: one or more.
  ///   - blocks: repetitions altogether.
  ///   - questions: one or more, with their answers.
  ///   - random: where the places are drawn from.
  init(
    head: String, block: String, scattering needles: [String], among blocks: Int,
    questions: [(question: String, answer: String)], _ random: inout CounterRandom
  ) {
    let places = needles.map { _ in min(Int(random.uniform() * Double(blocks + 1)), blocks) }
      .sorted()
    var stretches: [Stretch] = []
    var before = 0
    for (place, needle) in zip(places, needles) {
      stretches.append(Stretch(blocks: place - before, text: needle))
      before = place
    }
    stretches.append(Stretch(blocks: blocks - before, text: questions[0].question))
    self.init(
      head: head, block: block, stretches: stretches, answers: [questions[0].answer],
      further: Array(questions.dropFirst()))
  }
}

/// The numbers below `count` in random order.
func randomOrder(_ count: Int, _ random: inout CounterRandom) -> [Int] {
  var order = Array(0..<count)
  for last in order.indices.dropFirst() { order.swapAt(last, random.below(last + 1)) }
  return order
}
