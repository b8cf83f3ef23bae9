/// The element of `names` with the smallest edit distance to `name`; empty when there is none.
package func nearestName(to name: String, among names: [String]) -> String {
  names.min { editDistance(name, $0) < editDistance(name, $1) } ?? ""
}

/// Levenshtein's distance: insertions, deletions and replacements cost 1.
package func editDistance(_ first: String, _ second: String) -> Int {
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
