import Charts
import CommandSupport
import Files
import Foundation

/// Figures as files: SVG by ourselves, PNG by librsvg's `rsvg-convert`.
///
/// Drawing text and curves into pixels takes a font engine and a rasterizer, which is out of proportion here;
/// librsvg has both and is a package of every distribution.
struct FigureFiles {
  private let figures: [Figure]
  /// Pixels of PNG files for each pixel of a figure: 300 dots an inch at 3.8 cm a hundred.
  private static let scale = "2.5"

  init(_ figures: [Figure]) { self.figures = figures }

  /// Writes the files; without the converter there is no PNG, which a warning says.
  ///
  /// - Throws: `FileError`; `CommandError.data` for a figure that the converter refuses.
  func write(to directory: String) throws {
    try FileSystem.createDirectories(directory)
    for figure in figures {
      try FileReplacement.write(
        Array(figure.file.utf8), to: "\(directory)/\(figure.name).svg")
    }
    guard let converter = try Self.program("rsvg-convert") else {
      return warn(
        "rsvg-convert is not installed, so \(directory) has no PNG files: apt-get install librsvg2-bin"
      )
    }
    for figure in figures {
      let path = "\(directory)/\(figure.name)"
      let png = try Self.output(of: converter, "\(path).svg")
      try FileReplacement.write(png, to: "\(path).png")
    }
  }

  /// Where a program is; nil when it is in no directory of PATH.
  private static func program(_ name: String) throws(FileError) -> String? {
    let directories = ProcessInfo.processInfo.environment["PATH"] ?? ""
    for directory in directories.split(separator: ":") {
      let path = "\(directory)/\(name)"
      if try FileSystem.kind(of: path) == .file { return path }
    }
    return nil
  }

  /// What the converter makes of a file.
  private static func output(of converter: String, _ path: String) throws -> [UInt8] {
    let process = Process()
    process.executableURL = URL(fileURLWithPath: converter)
    process.arguments = [
      "--format", "png", "--zoom", scale, "--background-color", "white", path,
    ]
    let (output, errors) = (Pipe(), Pipe())
    (process.standardOutput, process.standardError) = (output, errors)
    process.standardInput = nil
    try process.run()
    let bytes = output.fileHandleForReading.readDataToEndOfFile()
    let complaint = errors.fileHandleForReading.readDataToEndOfFile()
    process.waitUntilExit()
    guard process.terminationStatus == 0, !bytes.isEmpty else {
      let reason = String(decoding: complaint, as: UTF8.self)
      throw CommandError.data("\(path): \(converter) cannot draw it: \(reason)")
    }
    return [UInt8](bytes)
  }
}
