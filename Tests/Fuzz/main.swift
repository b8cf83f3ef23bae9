import Foundation

// fuzz [--inputs N] [--seed N] [--output DIR] [--jobs N] [PARSER...]: tries changed inputs on parsers.
// fuzz --replay PARSER FILE...: tries kept inputs in this process.

/// A command line that cannot be used.
struct WrongUsage: Error, CustomStringConvertible {
  let description: String
}

/// Reads the command line and runs what it asks for; returns the exit code.
func runFuzzer(_ arguments: [String]) throws -> Int32 {
  let all = FuzzTarget.all
  func target(_ name: String) throws -> FuzzTarget {
    guard let target = all.first(where: { $0.name == name }) else {
      let names = all.map(\.name).joined(separator: ", ")
      throw WrongUsage(description: "there is no parser `\(name)`; choose among \(names)")
    }
    return target
  }
  if arguments.first == "--child", arguments.count == 7, let first = Int(arguments[2]),
    let end = Int(arguments[3]), let seed = UInt64(arguments[4])
  {
    var batch = Batch(
      target: try target(arguments[1]), seed: seed, range: first..<end,
      findings: Findings(directory: arguments[5]), page: try SharedPage(arguments[6]))
    try batch.run(below: URL(fileURLWithPath: arguments[6]).deletingLastPathComponent().path)
    return 0
  }
  if arguments.first == "--replay", arguments.count > 2 {
    try Batch.replay(
      try target(arguments[1]), Array(arguments[2...]), below: NSTemporaryDirectory())
    return 0
  }
  var options = Campaign.Options()
  var rest = arguments[...]
  func value<Value>(of option: String, _ convert: (String) -> Value?) throws -> Value {
    guard let text = rest.popFirst(), let value = convert(text) else {
      throw WrongUsage(description: "\(option) needs a value: a whole number, or a directory")
    }
    return value
  }
  let count = { (text: String) in Int(text).flatMap { $0 > 0 ? $0 : nil } }
  while let word = rest.popFirst() {
    switch word {
    case "--inputs": options.inputs = try value(of: word, count)
    case "--seed": options.seed = try value(of: word) { UInt64($0) }
    case "--output": options.output = try value(of: word) { $0 }
    case "--jobs": options.jobs = try value(of: word, count)
    default: options.parsers.append(try target(word))
    }
  }
  if options.parsers.isEmpty { options.parsers = all }
  let found = try Campaign(options).run()
  for line in found { print(line) }
  return found.isEmpty ? 0 : 1
}

do {
  exit(try runFuzzer(Array(CommandLine.arguments.dropFirst())))
} catch let error as WrongUsage {
  FileHandle.standardError.write(Data("error: \(error)\n".utf8))
  exit(64)
} catch {
  FileHandle.standardError.write(Data("error: \(error)\n".utf8))
  exit(70)
}
