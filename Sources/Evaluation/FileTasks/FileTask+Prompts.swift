import Foundation
import TensorStorage
import TokenData

/// A sample as the model gets it.
package struct PreparedSample {
  /// Token ids before the scored or generated ones, and those that are scored; nothing is scored of a text
  /// that is generated.
  package struct Sequence {
    /// Before.
    package var context: [Int32]
    /// Scored.
    package var continuation: [Int32]
  }

  /// One for each choice, or one.
  package var sequences: [Sequence]
  /// The text before the answer.
  package var prompt: String
  /// Tokens to generate.
  package var maximumNewTokens = 0
  /// Whether something of it was cut off.
  package var isCut = false
}

/// Makes token ids of a task's samples, as lm-evaluation-harness does.
package struct FileTaskPrompts {
  let task: FileTask
  let tokenizer: any Tokenizer

  /// Prepares samples of a task.
  package init(task: FileTask, tokenizer: any Tokenizer) {
    (self.task, self.tokenizer) = (task, tokenizer)
  }

  /// The ids of sample `index`.
  ///
  /// - Throws: `EvaluationError.taskFile` when it is longer than the task allows, or cannot be encoded.
  package func prepare(_ index: Int) throws(EvaluationError) -> PreparedSample {
    let sample = task.samples[index]
    var prepared: PreparedSample
    let before = fewShotText(index)
    switch sample.question {
    case .choices(let context, let choices):
      let prompt = before + context
      prepared = PreparedSample(
        sequences: choices.map { pair(prompt, task.delimiter + $0) }, prompt: prompt)
    case .contexts(let contexts, let continuation):
      prepared = PreparedSample(
        sequences: contexts.map { pair(before + $0, task.delimiter + continuation) },
        prompt: before + (contexts.first ?? ""))
    case .likelihood(let context, let target):
      let prompt = before + context
      prepared = PreparedSample(
        sequences: [pair(prompt, task.delimiter + target)], prompt: prompt)
    case .generate(let context, let prefix):
      prepared = generated(sample, before, context, prefix)
    case .rolling(let text):
      prepared = PreparedSample(sequences: rolling(text), prompt: "")
    case .tokens: fatalError("a task on ids has no texts")
    }
    try fit(&prepared, sample)
    for sequence in prepared.sequences where sequence.context.isEmpty {
      throw .taskFile("\(sample.place): `context`: has no tokens, and the tokenizer no first one")
    }
    let most = ScoringRequest.maximumTokens
    guard prepared.sequences.allSatisfy({ $0.context.count + $0.continuation.count <= most }) else {
      throw .taskFile("\(sample.place): `context`: more than \(most) tokens")
    }
    return prepared
  }

  private func encode(_ text: String) -> [Int32] {
    tokenizer.encode(text, addSpecial: task.addsSpecial)
  }

  /// What a sequence begins with that has no context.
  private var firstToken: [Int32] {
    [tokenizer.beginningOfText ?? tokenizer.endOfText].compactMap { $0 }
  }

  /// White space at the end of the context belongs to the continuation; its ids are those of both together
  /// behind those of the context.
  private func pair(_ context: String, _ continuation: String) -> PreparedSample.Sequence {
    let spaces = context.unicodeScalars.reversed().prefix(while: isPythonSpace).count
    let kept = String(context.unicodeScalars.dropLast(spaces))
    let moved = String(context.unicodeScalars.suffix(spaces)) + continuation
    guard !kept.isEmpty else {
      return PreparedSample.Sequence(
        context: firstToken, continuation: tokenizer.encode(moved, addSpecial: false))
    }
    let whole = encode(kept + moved)
    let count = encode(kept).count
    return PreparedSample.Sequence(
      context: Array(whole.prefix(count)), continuation: Array(whole.dropFirst(count)))
  }

  /// A whole text, in windows that do not overlap where the task has a length.
  private func rolling(_ text: String) -> [PreparedSample.Sequence] {
    let tokens = encode(text)
    let length = task.truncation.contextTokens ?? tokens.count
    return stride(from: 0, to: tokens.count, by: max(length, 1)).map { first in
      PreparedSample.Sequence(
        context: first == 0 ? firstToken : [tokens[first - 1]],
        continuation: Array(tokens[first..<min(first + length, tokens.count)]))
    }
  }

  // MARK: Generated texts

  private func generated(
    _ sample: FileTaskSample, _ before: String, _ context: String, _ prefix: String
  ) -> PreparedSample {
    var (kept, isCut) = (context, false)
    if task.truncation.mode == .answerCentered { (kept, isCut) = centered(sample, context) }
    let prompt = before + kept + prefix
    var prepared = PreparedSample(
      sequences: [.init(context: encode(prompt), continuation: [])], prompt: prompt)
    if prepared.sequences[0].context.isEmpty { prepared.sequences[0].context = firstToken }
    prepared.maximumNewTokens = task.generation.maximumNewTokens ?? budget(sample)
    prepared.isCut = isCut
    return prepared
  }

  private func budget(_ sample: FileTaskSample) -> Int {
    let longest = sample.answers.map { tokenizer.encode(" " + $0, addSpecial: false).count }.max()
    return max((longest ?? 0) + 4, 8)
  }

  /// The part of a context around the first answer in it; of one without an answer, its end.
  private func centered(_ sample: FileTaskSample, _ context: String) -> (String, isCut: Bool) {
    let want = (task.truncation.contextTokens ?? .max) - task.truncation.reserve
    let tokens = encode(context.trimmingCharacters(in: .whitespacesAndNewlines))
    guard tokens.count > want else { return (context, false) }
    let places = sample.answers.compactMap {
      context.range(of: $0, options: [.caseInsensitive, .literal])?.lowerBound
    }
    let place = places.min() ?? context.index(before: context.endIndex)
    let position = encode(String(context[..<place])).count
    let start = max(0, position - want / 2)
    let end = min(tokens.count, position + want - (position - start))
    return (tokenizer.decode(Array(tokens[min(start, end)..<end])), true)
  }

  // MARK: Lengths

  private func fit(
    _ prepared: inout PreparedSample, _ sample: FileTaskSample
  ) throws(EvaluationError) {
    guard let most = task.truncation.contextTokens, task.kind != .rolling,
      task.truncation.mode != .answerCentered
    else { return }
    for index in prepared.sequences.indices {
      let sequence = prepared.sequences[index]
      let after = sequence.continuation.count + prepared.maximumNewTokens + task.truncation.reserve
      let surplus = sequence.context.count + after - most
      guard surplus > 0 else { continue }
      guard task.truncation.mode == .left, surplus < sequence.context.count else {
        throw .taskFile(
          "\(sample.place): `context`: takes \(sequence.context.count) tokens and \(after) after it, "
            + "`context_tokens` allows \(most)")
      }
      prepared.sequences[index].context.removeFirst(surplus)
      prepared.isCut = true
    }
  }

  // MARK: Examples

  /// The examples before sample `index`, each followed by the delimiter.
  private func fewShotText(_ index: Int) -> String {
    guard let fewShot = task.fewShot else { return "" }
    let own = fewShot.file == nil ? index : nil
    return exampleNumbers(fewShot, but: own).map {
      task.examples[$0].example(delimiter: task.delimiter) + fewShot.delimiter
    }.joined()
  }

  /// `count` different examples; drawn ones depend on the seed and the sample's number only.
  private func exampleNumbers(_ fewShot: FileTask.FewShot, but own: Int?) -> [Int] {
    let count = task.examples.count
    if fewShot.sampler == .first {
      return Array((0..<count).lazy.filter { $0 != own }.prefix(fewShot.count))
    }
    var random = CounterRandom(
      seed: UInt64(bitPattern: Int64(fewShot.seed)), purpose: "fewshot/\(task.fingerprint)",
      index: UInt64(own ?? 0))
    var chosen: [Int] = []
    while chosen.count < fewShot.count {
      let number = min(Int(random.uniform() * Double(count)), count - 1)
      if number != own && !chosen.contains(number) { chosen.append(number) }
    }
    return chosen
  }
}

/// White space as Python's `str.isspace` and the `\s` of its regular expressions have it.
func isPythonSpace(_ scalar: Unicode.Scalar) -> Bool {
  scalar.properties.isWhitespace || (0x1C...0x1F).contains(scalar.value)
}
