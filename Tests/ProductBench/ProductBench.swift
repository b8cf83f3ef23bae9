import Foundation
import Kernels
import LanguageModels
import Layers
import TensorStorage
import Training

/// What the matrix products of one training step take when nothing else is done.
///
///     product-bench RECIPE [--threads N] [--repeats N] [--list] [key.path=value ...]
///
/// Times `matrixProduct` on every linear map of the recipe's model, forward and both products of
/// backward, in fp32 and, where the processor has the instructions, in bf16. The products of the
/// recurrence are counted at the speed of the others. Prints one JSON line; `--list` adds a line for each
/// product.
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
    let lists = arguments.contains("--list")
    arguments.removeAll { $0 == "--list" }
    guard let path = arguments.first else {
      FileHandle.standardError.write(
        Data(
          "usage: product-bench RECIPE [--threads N] [--repeats N] [--list] [key=value ...]\n".utf8)
      )
      exit(64)
    }
    let recipe = try Recipe.load(path: path, overrides: Array(arguments.dropFirst()))
    configureBLAS()
    ThreadPool.configure(threadCount: threads)
    let step = StepProducts(recipe, LanguageModel(try RunModel(recipe).configuration))
    var precisions: [(String, ProductPrecision)] = [("fp32", .fp32)]
    if BFloat16BackEnd.isAccelerated { precisions.append(("bf16", .bf16(.oneDNN))) }
    var members = ["\"training_flops_per_token\": \(step.model.trainingFLOPsPerToken)"]
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

  /// Seconds of each product, the fastest of `repeats`, and what follows from them.
  func time(_ precision: ProductPrecision, repeats: Int) -> (
    limit: Double, gflops: Double, list: [String]
  ) {
    let largest = counts.map { max($0.product.m * $0.product.k, $0.product.m * $0.product.n) }
    let operands = largest.max() ?? 0
    let weights = counts.map { $0.product.k * $0.product.n }.max() ?? 0
    let a = Self.filled(operands)
    let (b, c) = (Self.filled(max(weights, operands)), FloatBuffer(count: max(weights, operands)))
    var products: BFloat16Products?
    if case .bf16(let backEnd) = precision {
      products = BFloat16Products(backEnd, parameters: b, operandCount: operands)
      products?.convertWeights()
    }
    var (seconds, flops) = (0.0, 0.0)
    var list: [String] = []
    for (product, count) in counts {
      let each = Self.fastest(repeats) {
        let run = { Self.multiply(product, a.pointer, b.pointer, c.pointer) }
        products?.run(run) ?? run()
      }
      let work = 2 * Double(product.m) * Double(product.k) * Double(product.n)
      seconds += each * Double(count)
      flops += work * Double(count)
      list.append(
        "\(precision) \(product.kind.rawValue) [\(product.m), \(product.k)] x [\(product.k), "
          + "\(product.n)]: \(count) times \(Self.rounded(work / each * 1e-9)) GFLOP/s")
    }
    let all = Double(model.trainingFLOPsPerToken) * Double(rows)
    return (
      Self.rounded(Double(rows) * flops / (seconds * all)), Self.rounded(flops / seconds * 1e-9),
      list
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
