import Foundation

/// Deterministic bytes that compress a little: floats of small spread.
func floatBytes(_ count: Int, seed: UInt64 = 1) -> [UInt8] {
  var state = seed
  var bytes = [UInt8](repeating: 0, count: count)
  for i in stride(from: 0, to: count, by: 4) {
    state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
    let value = (Float(state >> 40) / Float(1 << 24) - 0.5) * 0.04
    withUnsafeBytes(of: value) { for j in 0..<min(4, count - i) { bytes[i + j] = $0[j] } }
  }
  return bytes
}

/// Runs a tool that this package's build needs anyway, and returns what it prints.
func run(_ tool: String, _ arguments: [String]) throws -> Data {
  let process = Process()
  process.executableURL = URL(fileURLWithPath: "/usr/bin/env")
  process.arguments = [tool] + arguments
  let pipe = Pipe()
  process.standardOutput = pipe
  try process.run()
  let output = pipe.fileHandleForReading.readDataToEndOfFile()
  process.waitUntilExit()
  guard process.terminationStatus == 0 else {
    throw CocoaError(.executableLoad, userInfo: ["tool": tool])
  }
  return output
}

/// A file with these bytes that disappears with `body`.
func withFile<Result>(_ bytes: [UInt8], _ body: (String) throws -> Result) throws -> Result {
  let path = FileManager.default.temporaryDirectory.appendingPathComponent(UUID().uuidString).path
  defer { unlink(path) }
  try Data(bytes).write(to: URL(fileURLWithPath: path))
  return try body(path)
}
