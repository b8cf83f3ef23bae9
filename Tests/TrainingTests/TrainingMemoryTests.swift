import Kernels
import LanguageModels
import Layers
import Optimizers
import TensorStorage
import Testing
import ToyOptimizers
import Training

/// How the recipe's budget decides where states are kept.
@Suite struct TrainingMemoryTests {
  static let yaml = """
    run: {output: runs/demo}
    model:
      config: {model_type: gla, hidden_size: 64, num_hidden_layers: 2, num_heads: 1, vocab_size: 32}
    data:
      sequence_length: 6400
      sources:
        - {task: markov, symbols: 8}
    train: {steps: 1, sequences_per_step: 1, segment_length: 64}
    """

  private func memory(_ overrides: String...) throws -> TrainingMemory {
    let recipe = try Recipe.decode(yaml: Self.yaml, overrides: overrides)
    return try TrainingMemory(
      recipe, LanguageModel(try RunModel(recipe).configuration), ranks: 1)
  }

  @Test func theBudgetDecides() throws {
    let free = try memory()
    #expect(free.storage == .memory)
    #expect(free.starts == 100 && free.startingStates == 100 * free.state)
    let used = 4 * free.items.reduce(0) { $0 + $1.count }
    let state = 4 * free.state
    func budget(_ states: Int) -> String { "train.memory_budget=\(used + states * state)" }
    #expect(try memory(budget(100)).storage == .memory)
    #expect(try memory(budget(99)).storage == .thinned(every: 2))
    #expect(try memory(budget(19)).storage == .thinned(every: 10))
    #expect(throws: TrainingError.self) { try memory(budget(18)) }
    #expect(try memory(budget(18), "train.scratch=/tmp").storage == .spilled(directory: "/tmp"))
    #expect(try memory(budget(1), "train.scratch=/tmp").storage == .spilled(directory: "/tmp"))
    #expect(throws: TrainingError.self) { try memory(budget(0), "train.scratch=/tmp") }
    let truncated = try memory(budget(1), "train.truncated_backpropagation=true")
    #expect(truncated.storage == .memory && truncated.starts == 1)
    do {
      _ = try memory("train.memory_budget=1MB")
      Issue.record("a budget of 1 MB is too small")
    } catch let error as TrainingError {
      #expect(error.exitCode == 64)
      #expect(error.description.hasPrefix("train.memory_budget: 1.00 MB is less than the "))
      #expect(error.description.hasSuffix("or set train.scratch"))
    }
  }

  @Test(arguments: [
    ["data.sequence_length=1073741824", "train.segment_length=1"],
    ["data.sequence_length=1073741824", "train.segment_length=4194304"],
    ["train.sequences_per_step=1048576", "train.micro_batch=1048576"],
    ["model.config.num_hidden_layers=4096", "model.config.hidden_size=4096"],
  ])
  func whatNoMachineHasIsRefusedInOneLine(_ overrides: [String]) throws {
    let recipe = try Recipe.decode(yaml: Self.yaml, overrides: overrides)
    let plan = try TrainingPlan(recipe, ranks: 1)
    let shortage = try #require(plan.shortage)
    #expect(shortage.exitCode == 64)
    let words = #/a rank needs [0-9.]+ GB of memory, and this machine has [0-9.]+ GB: lower .*/#
    #expect(shortage.description.wholeMatch(of: words) != nil, "\(shortage)")
  }

  @Test func whatCannotBeCountedIsRefused() throws {
    let error = #expect(throws: TrainingError.self) {
      try memory(
        "data.sequence_length=1073741824", "train.segment_length=1",
        "model.config.num_hidden_layers=256", "model.config.hidden_size=8192")
    }
    #expect(error?.exitCode == 64)
    #expect(error?.description.contains("GB of memory, more than any machine has") == true)
    let long = #expect(throws: TrainingError.self) {
      try memory("data.sequence_length=1073741824", "train.segment_length=4194305")
    }
    #expect(
      long?.description.hasPrefix("train.segment_length: a rank holds 4194305 tokens") == true)
  }

  @Test func whatFitsDependsOnTheRanksHere() throws {
    let memory = try memory()
    let bytes = 4 * memory.peak
    #expect(memory.shortage(ranksHere: 1, total: bytes) == nil)
    #expect(memory.shortage(ranksHere: 1, total: nil) == nil)
    #expect(memory.shortage(ranksHere: 1, total: bytes - 1) != nil)
    let error = try #require(memory.shortage(ranksHere: 2, total: bytes))
    #expect(error.description.hasPrefix("the 2 ranks of this machine need "))
  }

  @Test(arguments: ToyOptimizer.allCases)
  func aPlanCountsWhatAnyOptimizerKeeps(_ optimizer: ToyOptimizer) throws {
    var recipe = try Recipe.decode(yaml: Self.yaml)
    let model = LanguageModel(try RunModel(recipe).configuration)
    func moments() throws -> Int {
      let items = try TrainingMemory(recipe, model, ranks: 1).items
      return items.first { $0.name == "optimizer moments" }?.count ?? 0
    }
    #expect(try moments() == 2 * model.layout.trainableCount)
    recipe.train.otherOptimizer = AnyOptimizerConfiguration(optimizer)
    #expect(try 4 * moments() == optimizer.stateByteCount * model.layout.trainableCount)
    let parameters = model.layout.parameterCount
    let checkpoint = byteText((4 + optimizer.stateByteCount) * parameters)
    let plan = try TrainingPlan(recipe, ranks: 1).description
    #expect(plan.contains("at most \(checkpoint) in 1 shard"), "\(plan)")
    #expect(plan.contains("optimizer moments") == (optimizer != .descent))
  }

  @Test func convertedWeightsAndOperandsCount() throws {
    let recipe = try Recipe.decode(yaml: Self.yaml)
    let model = LanguageModel(try RunModel(recipe).configuration)
    func part(_ precision: ProductPrecision, _ name: String) throws -> Int? {
      try TrainingMemory(recipe, model, ranks: 1, precision: precision).items
        .first { $0.name == name }?.count
    }
    let count = model.layout.count
    #expect(try part(.fp32, "weights converted to bf16") == nil)
    #expect(try part(.bf16(.oneDNN), "weights converted to bf16") == count / 2)
    #expect(try part(.bf16(.portable), "weights converted to bf16") == count)
    // 64 rows of the MLP's width, three buffers.
    let operand =
      64 * max(model.vocabulary, model.blocks.flatMap(\.linearShapes).map(\.outputs).max() ?? 0)
    #expect(try part(.bf16(.portable), "operands converted to bf16") == 3 * operand)
  }

  @Test func lanesKeepTheirStatesWhateverTheMicroBatch() throws {
    let recipe = try Recipe.decode(yaml: Self.yaml)
    let model = LanguageModel(try RunModel(recipe).configuration)
    let carried = CarriedStates(model, lanes: 7, own: 2..<6, probability: 1, seed: 7)
    let one = FloatBuffer(count: model.stateCount(batch: 1))
    for lane in 2..<6 {
      for i in 0..<one.count { one.pointer[i] = Float(lane * one.count + i) }
      carried.store(lane..<(lane + 1), from: one.pointer)
    }
    carried.moveOn()
    // Two lanes together: parts of the state follow one another, lanes within a part.
    let two = FloatBuffer(count: model.stateCount(batch: 2))
    carried.load(3..<5, step: 1, into: two.pointer)
    carried.store(3..<5, from: two.pointer)
    for lane in [2, 5] {
      carried.load(lane..<(lane + 1), step: 1, into: one.pointer)
      carried.store(lane..<(lane + 1), from: one.pointer)
    }
    carried.moveOn()
    let parts = model.blocks.flatMap(\.stateParts)
    #expect(two.pointer[0] == Float(3 * one.count) && two.pointer[parts[0]] == Float(4 * one.count))
    for lane in 2..<6 {
      carried.load(lane..<(lane + 1), step: 1, into: one.pointer)
      #expect(one.pointer[one.count - 1] == Float((lane + 1) * one.count - 1))
    }
  }

  /// What a step that is given up has stored does not count.
  @Test func lanesKeepTheirStatesUntilTheStepIsDone() throws {
    let model = LanguageModel(try RunModel(Recipe.decode(yaml: Self.yaml)).configuration)
    let carried = CarriedStates(model, lanes: 2, own: 0..<2, probability: 1, seed: 7)
    let state = FloatBuffer(count: model.stateCount(batch: 2))
    func first() -> Float {
      carried.load(0..<2, step: 1, into: state.pointer)
      return state.pointer[0]
    }
    for (value, isDone) in [(Float(1), true), (2, false), (3, false), (4, true)] {
      let before = first()
      for i in 0..<state.count { state.pointer[i] = value }
      carried.store(0..<2, from: state.pointer)
      #expect(first() == before)
      if isDone {
        carried.moveOn()
        #expect(first() == value)
      }
    }
  }

  @Test func lanesAreDroppedWithTheGivenProbability() throws {
    let recipe = try Recipe.decode(yaml: Self.yaml)
    let model = LanguageModel(try RunModel(recipe).configuration)
    let carried = CarriedStates(model, lanes: 8, own: 0..<8, probability: 0.9, seed: 7)
    let decisions = (1...500).flatMap { step in (0..<8).map { carried.carries($0, step: step) } }
    let share = Double(decisions.count { $0 }) / Double(decisions.count)
    #expect(abs(share - 0.9) < 0.02)
    let other = CarriedStates(model, lanes: 8, own: 0..<8, probability: 0.9, seed: 8)
    #expect(
      (0..<8).map { other.carries($0, step: 3) } != decisions[16..<24].map { $0 }
        || (0..<8).map { other.carries($0, step: 4) } != decisions[24..<32].map { $0 })
  }
}
