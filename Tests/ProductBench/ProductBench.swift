import Foundation
import Kernels
import LanguageModels
import Layers
import TensorStorage
import Training

/// What the matrix products of one training step take when nothing else is done.
///
///     product-bench RECIPE [--threads N] [--repeats N] [--list] [key.path=value ...]
///     product-bench RECIPE [--threads N] --steps N [--bf16] [key.path=value ...]
///
/// Times `matrixProduct` on every linear map of the recipe's model, forward and both products of
/// backward, in fp32 and, where the processor has the instructions, in bf16. The products of the
/// recurrence are counted at the speed of the others. Beside them stands what the processor does when it
/// only multiplies and adds in registers. Prints one JSON line; `--list` adds a line for each product. With `--steps` it multiplies what so many training steps do and prints a line after each,
/// for `tools/interleave.py`.
@main
struct ProductBench {
  static func main() throws {
    var arguments = Array(CommandLine.arguments.dropFirst())
    func option(_ name: String) -> Int? {
      guard let index = arguments.firstIndex(of: name), index + 1 < arguments.count else {
        return nil
      }
      defer { arguments.removeSubrange(index...(index + 1)) }
      return Int(arguments[index + 1])
    }
    let threads = option("--threads") ?? 2
    let repeats = option("--repeats") ?? 3
    let steps = option("--steps")
    func flag(_ name: String) -> Bool {
      defer { arguments.removeAll { $0 == name } }
      return arguments.contains(name)
    }
    let (lists, isBFloat16) = (flag("--list"), flag("--bf16"))
    guard let path = arguments.first else {
      FileHandle.standardError.write(
        Data(
          ("usage: product-bench RECIPE [--threads N] [--repeats N] [--list] [--steps N [--bf16]] "
            + "[key=value ...]\n").utf8))
      exit(64)
    }
    let recipe = try Recipe.load(path: path, overrides: Array(arguments.dropFirst()))
    configureBLAS()
    ThreadPool.configure(threadCount: threads)
    let step = StepProducts(recipe, LanguageModel(try RunModel(recipe).configuration))
    if let steps {
      step.run(isBFloat16 ? .bf16(.oneDNN) : .fp32, steps: steps)
      return
    }
    var precisions: [(String, ProductPrecision)] = [("fp32", .fp32)]
    if BFloat16BackEnd.isAccelerated { precisions.append(("bf16", .bf16(.oneDNN))) }
    var members = [
      "\"training_flops_per_token\": \(step.model.trainingFLOPsPerToken)",
      "\"linear_share\": \(step.linearShare)",
      "\"fma_gflops\": \(MultiplyAdd.measure(threads: threads))",
    ]
    for (name, precision) in precisions {
      let timed = step.time(precision, repeats: repeats)
      if lists { for line in timed.list { print(line) } }
      members.append(
        "\"\(name)\": {\"tokens_per_second\": \(timed.limit), \"gflops\": \(timed.gflops)}")
    }
    print("{\(members.joined(separator: ", "))}")
  }
}

/// The products of one training step, each shape once with how often it comes.
struct StepProducts {
  /// `c[m, n] (+)= a[m, k] b[k, n]`, one operand perhaps transposed, `b` perhaps a weight.
  struct Product: Hashable {
    let m, k, n: Int
    let kind: Kind
    let accumulates: Bool

    enum Kind: String { case forward, input, weight }

    var flops: Double { 2 * Double(m) * Double(k) * Double(n) }
  }

  let model: LanguageModel
  private let rows: Int
  private var counts: [(product: Product, count: Int)] = []

  init(_ recipe: Recipe, _ model: LanguageModel) {
    self.model = model
    rows = recipe.train.microBatch * min(recipe.train.segmentLength, recipe.data.sequenceLength)
    for shape in model.blocks.flatMap(\.linearShapes) { add(shape, rows: rows, accumulates: true) }
    let head = LinearShape(outputs: model.vocabulary, inputs: model.width)
    let block = min(rows, LinearCrossEntropyDims.blockRows)
    for _ in 0..<(rows / block) { add(head, rows: block, accumulates: false) }
  }

  private mutating func add(_ shape: LinearShape, rows: Int, accumulates: Bool) {
    let (out, input) = (shape.outputs, shape.inputs)
    let products = [
      Product(m: rows, k: input, n: out, kind: .forward, accumulates: false),
      Product(m: rows, k: out, n: input, kind: .input, accumulates: accumulates),
      Product(m: out, k: rows, n: input, kind: .weight, accumulates: true),
    ]
    for product in products {
      if let index = counts.firstIndex(where: { $0.product == product }) {
        counts[index].count += 1
      } else {
        counts.append((product, 1))
      }
    }
  }

  /// The part of a step's operations that the linear maps are; the others are the recurrence's.
  var linearShare: Double {
    let flops = counts.reduce(0) { $0 + $1.product.flops * Double($1.count) }
    return flops / (Double(model.trainingFLOPsPerToken) * Double(rows))
  }

  /// Memory to multiply in, for the largest of the products.
  private struct Operands {
    let a, b, c: FloatBuffer
    let products: BFloat16Products?

    init(_ list: [Product], _ precision: ProductPrecision) {
      let operands = list.map { max($0.m * $0.k, $0.m * $0.n) }.max() ?? 0
      let weights = list.map { $0.k * $0.n }.max() ?? 0
      a = StepProducts.filled(operands)
      b = StepProducts.filled(max(weights, operands))
      c = FloatBuffer(count: max(weights, operands))
      if case .bf16(let backEnd) = precision {
        let products = BFloat16Products(backEnd, parameters: b, operandCount: operands)
        products.convertWeights()
        self.products = products
      } else {
        products = nil
      }
    }

    func multiply(_ product: Product) {
      let run = { StepProducts.multiply(product, a.pointer, b.pointer, c.pointer) }
      products?.run(run) ?? run()
    }
  }

  /// Multiplies what `steps` training steps do, with a line after each.
  func run(_ precision: ProductPrecision, steps: Int) {
    let operands = Operands(counts.map(\.product), precision)
    for step in 1...max(steps, 1) {
      for (product, count) in counts {
        for _ in 0..<count { operands.multiply(product) }
      }
      print("step \(step)")
      fflush(nil)
    }
  }

  /// Seconds of each product, the fastest of `repeats`, and what follows from them.
  func time(_ precision: ProductPrecision, repeats: Int) -> (
    limit: Double, gflops: Double, list: [String]
  ) {
    let operands = Operands(counts.map(\.product), precision)
    var (seconds, flops) = (0.0, 0.0)
    var list: [String] = []
    for (product, count) in counts {
      let each = Self.fastest(repeats) { operands.multiply(product) }
      let work = product.flops
      seconds += each * Double(count)
      flops += work * Double(count)
      list.append(
        "\(precision) \(product.kind.rawValue) [\(product.m), \(product.k)] x [\(product.k), "
          + "\(product.n)]: \(count) times \(Self.rounded(work / each * 1e-9)) GFLOP/s")
    }
    return (
      Self.rounded(Double(rows) * linearShare / seconds), Self.rounded(flops / seconds * 1e-9), list
    )
  }

  /// In bf16 `b` is a weight that is converted already; that of `kind.weight` stands for an operand that
  /// several products share.
  private static func multiply(_ p: Product, _ a: Floats, _ b: Floats, _ c: Floats) {
    let left = p.kind == .weight ? Matrix(a, p.k, p.m).transposed : Matrix(a, p.m, p.k)
    let right = p.kind == .forward ? Matrix(b, p.n, p.k).transposed : Matrix(b, p.k, p.n)
    let result = Matrix(c, p.m, p.n)
    if p.accumulates {
      matrixProduct(left, right, accumulatingInto: result)
    } else {
      matrixProduct(left, right, into: result)
    }
  }

  private static func filled(_ count: Int) -> FloatBuffer {
    let buffer = FloatBuffer(count: count)
    for i in 0..<count { buffer.pointer[i] = Float(i % 97) * 0.01 - 0.5 }
    return buffer
  }

  private static func fastest(_ repeats: Int, _ body: () -> Void) -> Double {
    (0..<max(repeats, 1)).reduce(.infinity) { best, _ in
      let start = DispatchTime.now().uptimeNanoseconds
      body()
      return min(best, Double(DispatchTime.now().uptimeNanoseconds - start) * 1e-9)
    }
  }

  private static func rounded(_ value: Double) -> Double { (value * 10).rounded() / 10 }
}
