/// The name that `word` is probably a misspelling of: the nearest by edit distance, ignoring the case of
/// `word`, if it is near enough.
///
/// The distance may be at most 2, or a third of the word's bytes if that is more. Words of more than 64
/// bytes have no nearest name.
///
/// - Parameters:
///   - word: what was written.
///   - names: what exists; the first one wins a tie.
/// - Returns: the name, or nil if none is near enough.
package func nearestName(to word: String, among names: some Sequence<String>) -> String? {
  guard word.utf8.count <= 64 else { return nil }
  let distances = names.map { (name: $0, distance: editDistance(word.lowercased(), $0)) }
  guard let nearest = distances.min(by: { $0.distance < $1.distance }) else { return nil }
  return nearest.distance <= max(2, word.utf8.count / 3) ? nearest.name : nil
}

/// Levenshtein's distance: insertions, deletions and replacements cost 1.
private func editDistance(_ first: String, _ second: String) -> Int {
  let columns = Array(second.utf8)
  var row = Array(0...columns.count)
  for (i, character) in first.utf8.enumerated() {
    var diagonal = row[0]
    row[0] = i + 1
    for j in columns.indices {
      let replaced = diagonal + (character == columns[j] ? 0 : 1)
      diagonal = row[j + 1]
      row[j + 1] = min(replaced, row[j] + 1, row[j + 1] + 1)
    }
  }
  return row[columns.count]
}
