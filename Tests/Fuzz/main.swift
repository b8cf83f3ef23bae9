import Foundation

// fuzz [--inputs N] [--seed N] [--output DIR] [--jobs N] [PARSER...]: tries changed inputs on parsers.
// fuzz --replay PARSER FILE...: tries kept inputs in this process.

/// Reads the command line and runs what it asks for; returns the exit code.
func runFuzzer(_ arguments: [String]) throws -> Int32 {
  let all = FuzzTarget.all
  func target(_ name: String) -> FuzzTarget {
    guard let target = all.first(where: { $0.name == name }) else {
      fatalError("no parser \(name); there are " + all.map(\.name).joined(separator: ", "))
    }
    return target
  }
  if arguments.first == "--child", arguments.count == 7, let first = Int(arguments[2]),
    let end = Int(arguments[3]), let seed = UInt64(arguments[4])
  {
    var batch = Batch(
      target: target(arguments[1]), seed: seed, range: first..<end,
      findings: Findings(directory: arguments[5]), page: try SharedPage(arguments[6]))
    try batch.run(below: URL(fileURLWithPath: arguments[6]).deletingLastPathComponent().path)
    return 0
  }
  if arguments.first == "--replay", arguments.count > 2 {
    try Batch.replay(
      target(arguments[1]), Array(arguments[2...]), below: NSTemporaryDirectory())
    return 0
  }
  var options = Campaign.Options()
  var rest = arguments[...]
  while let word = rest.popFirst() {
    switch word {
    case "--inputs": options.inputs = rest.popFirst().flatMap { Int($0) } ?? options.inputs
    case "--seed": options.seed = rest.popFirst().flatMap { UInt64($0) } ?? options.seed
    case "--output": options.output = rest.popFirst() ?? options.output
    case "--jobs": options.jobs = rest.popFirst().flatMap { Int($0) } ?? options.jobs
    default: options.parsers.append(target(word))
    }
  }
  if options.parsers.isEmpty { options.parsers = all }
  let found = try Campaign(options).run()
  for line in found { print(line) }
  return found.isEmpty ? 0 : 1
}

do {
  exit(try runFuzzer(Array(CommandLine.arguments.dropFirst())))
} catch {
  FileHandle.standardError.write(Data("error: \(error)\n".utf8))
  exit(70)
}
