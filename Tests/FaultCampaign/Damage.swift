import Foundation

/// What happens to the bytes of a file.
enum Damage {
  /// One bit becomes the other.
  case flip
  /// The end is missing.
  case truncate
  /// A page of 4 KiB, or what there is of it, reads as zeros.
  case zeroPage
  /// A page holds what another file has in its place.
  case swapPage

  private static let page = 4096

  /// Damages the file at `path`, in a place that the trial chooses.
  ///
  /// - Parameters:
  ///   - path: the file.
  ///   - bytes: where in it, for a flip; nil for anywhere.
  ///   - other: the file that a page is swapped with.
  ///   - trial: decides what chance decides.
  /// - Returns: what was done, for messages.
  /// - Throws: when the file cannot be read and written, or would stay as it is.
  func hurt(_ path: String, bytes: Range<Int>? = nil, other: String?, _ trial: Trial) throws
    -> String
  {
    let url = URL(fileURLWithPath: path)
    let good = try Data(contentsOf: url)
    var bad = good
    let what: String
    switch self {
    case .flip:
      let range = (bytes ?? 0..<good.count).clamped(to: 0..<good.count)
      let byte = range.lowerBound + trial.random.below(range.count)
      let bit = trial.random.below(8)
      bad[byte] ^= 1 << UInt8(bit)
      what = "bit \(bit) of byte \(byte) flipped"
    case .truncate:
      bad = good.prefix(trial.random.below(good.count))
      what = "cut to \(bad.count) of \(good.count) bytes"
    case .zeroPage:
      let range = page(of: good, trial)
      bad.replaceSubrange(range, with: repeatElement(0, count: range.count))
      what = "bytes \(range) zeroed"
    case .swapPage:
      guard let other else { throw CampaignError(description: "no file to swap a page with") }
      let otherURL = URL(fileURLWithPath: other)
      var foreign = try Data(contentsOf: otherURL)
      let range = page(of: good.prefix(foreign.count), trial)
      bad.replaceSubrange(range, with: foreign[range])
      foreign.replaceSubrange(range, with: good[range])
      try foreign.write(to: otherURL)
      what = "bytes \(range) swapped with \(other)"
    }
    guard bad != good else { throw CampaignError(description: "\(path): \(what) changes nothing") }
    try bad.write(to: url)
    return "\(path): \(what)"
  }

  private func page(of data: Data, _ trial: Trial) -> Range<Int> {
    let start = trial.random.below((data.count + Self.page - 1) / Self.page) * Self.page
    return start..<min(start + Self.page, data.count)
  }
}
