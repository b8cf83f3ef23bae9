/// Heights of labels moved apart so that none overlaps another, as near to those wanted as goes.
///
/// - Parameters:
///   - wanted: the height of each label's base line.
///   - gap: the least distance of two.
///   - limits: where they may be; where there is not enough room for all, the last ones lie above it.
/// - Returns: the heights in the same order.
func spread(_ wanted: [Double], gap: Double, within limits: ClosedRange<Double>) -> [Double] {
  let order = wanted.indices.sorted { (wanted[$0], $0) < (wanted[$1], $1) }
  // Blocks of labels that touch; each lies where the mean of its labels wants to be.
  var blocks: [(labels: [Int], first: Double)] = []
  for index in order {
    blocks.append(([index], min(max(wanted[index], limits.lowerBound), limits.upperBound)))
    while let last = blocks.last, let before = blocks.dropLast().last,
      before.first + gap * Double(before.labels.count) > last.first
    {
      blocks.removeLast(2)
      let labels = before.labels + last.labels
      let sum = labels.enumerated().reduce(0) { $0 + wanted[$1.element] - gap * Double($1.offset) }
      let most = limits.upperBound - gap * Double(labels.count - 1)
      let first = sum / Double(labels.count)
      blocks.append((labels, max(min(first, most), min(limits.lowerBound, most))))
    }
  }
  var heights = wanted
  for block in blocks {
    for (place, label) in block.labels.enumerated() {
      heights[label] = block.first + gap * Double(place)
    }
  }
  return heights
}
