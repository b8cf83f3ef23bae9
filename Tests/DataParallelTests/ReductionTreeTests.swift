import DataParallel
import TensorStorage
import Testing

/// Every small number of leaves on every small number of ranks.
@Suite("reduction tree")
struct ReductionTreeTests {
  static let leafCounts = Array(1...20)

  /// All nodes of the tree over `node`.
  private func nodes(_ node: Range<Int>) -> [Range<Int>] {
    guard node.count > 1 else { return [node] }
    let (left, right) = ReductionTree.split(node)
    return [node] + nodes(left) + nodes(right)
  }

  private func reference(_ values: [Float], _ node: Range<Int>) -> Float {
    guard node.count > 1 else { return values[node.lowerBound] }
    let (left, right) = ReductionTree.split(node)
    return reference(values, left) + reference(values, right)
  }

  private func values(_ count: Int) -> [Float] {
    var random = CounterRandom(seed: 1, purpose: "values", index: UInt64(count))
    return (0..<count).map { Float(random.normal() * ($0 % 3 == 0 ? 1e4 : 1)) }
  }

  @Test("the left part of a split is the largest power of two below the whole")
  func split() {
    let expected = [2: 1, 3: 2, 4: 2, 5: 4, 6: 4, 7: 4, 8: 4, 9: 8, 16: 8, 17: 16]
    for (count, left) in expected {
      let parts = ReductionTree.split(3..<(3 + count))
      #expect(parts.left == 3..<(3 + left) && parts.right == (3 + left)..<(3 + count))
    }
  }

  @Test("roots are nodes of the tree and partition the leaves", arguments: leafCounts)
  func roots(_ leaves: Int) {
    let all = Set(nodes(0..<leaves))
    for ranks in 1...9 {
      let tree = ReductionTree(leaves: leaves, ranks: ranks)
      var next = 0
      for rank in 0..<ranks {
        let own = tree.leaves(of: rank)
        #expect(own.lowerBound == next, "\(ranks) ranks")
        #expect(abs(own.count * ranks - leaves) < ranks, "shares differ by one at most")
        for root in tree.roots(of: rank) {
          #expect(root.lowerBound == next && all.contains(root))
          next = root.upperBound
        }
        #expect(own.upperBound == next)
        // Largest nodes: no two neighbours are the two parts of one node.
        let roots = tree.roots(of: rank)
        for (a, b) in zip(roots, roots.dropFirst()) {
          #expect(!all.contains(a.lowerBound..<b.upperBound))
        }
      }
      #expect(next == leaves)
    }
  }

  @Test("summing roots, then the rest of the tree, has the same bits", arguments: leafCounts)
  func sums(_ leaves: Int) {
    let values = values(leaves)
    let expected = reference(values, 0..<leaves)
    for ranks in 1...9 {
      let tree = ReductionTree(leaves: leaves, ranks: ranks)
      var sums: [Range<Int>: Float] = [:]
      for rank in 0..<ranks {
        for root in tree.roots(of: rank) { sums[root] = reference(values, root) }
      }
      func combine(_ node: Range<Int>) -> Float {
        if let sum = sums[node] { return sum }
        let (left, right) = ReductionTree.split(node)
        return combine(left) + combine(right)
      }
      #expect(combine(0..<leaves).bitPattern == expected.bitPattern, "\(ranks) ranks")
      let doubles = values.map(Double.init)
      let one = ReductionTree(leaves: leaves, ranks: 1)
      #expect(tree.sum(doubles) == one.sum(doubles))
    }
  }

  @Test("a sum of numbers follows the tree's order")
  func order() {
    let tree = ReductionTree(leaves: 5, ranks: 2)
    let values = [1e20, 1, -1e20, 1, 3]
    #expect(tree.sum(values) == ((1e20 + 1) + (-1e20 + 1)) + 3)
    #expect(tree.sum(values) != (((1e20 + 1) + -1e20) + 1) + 3)
  }

  @Test("the buffers that a rank is given are enough, and none is idle", arguments: leafCounts)
  func buffers(_ leaves: Int) {
    for ranks in 1...9 {
      let tree = ReductionTree(leaves: leaves, ranks: ranks)
      for rank in 0..<ranks {
        var highest = 0
        // As the reducer does it: the left part into the node's buffer, the right part into the next.
        func evaluate(_ node: Range<Int>, into buffer: Int) {
          highest = max(highest, buffer)
          guard node.count > 1 else { return }
          let (left, right) = ReductionTree.split(node)
          evaluate(left, into: buffer)
          evaluate(right, into: buffer + 1)
        }
        for (index, root) in tree.roots(of: rank).enumerated() { evaluate(root, into: index) }
        #expect(tree.bufferCount(of: rank) == highest + 1, "rank \(rank) of \(ranks)")
      }
    }
  }

  @Test("ranks of a group compute the parts of the same micro-batches", arguments: [2, 3, 4])
  func parts(_ parts: Int) {
    for microBatches in 1...9 {
      let leaves = microBatches * parts
      for groups in 1...5 {
        let tree = ReductionTree(leaves: leaves, ranks: groups * parts, parts: parts)
        let all = Set(nodes(0..<leaves))
        var seen = [Int](repeating: 0, count: leaves)
        for rank in 0..<(groups * parts) {
          let own = tree.leaves(of: rank)
          for leaf in own {
            seen[leaf] += 1
            #expect(tree.part(ofLeaf: leaf) == rank % parts)
          }
          let first = rank / parts * parts
          #expect(own.map(tree.microBatch(ofLeaf:)) == Array(tree.microBatches(of: first)))
          #expect(tree.roots(of: rank).flatMap { Array($0) } == Array(own))
          #expect(tree.roots(of: rank).allSatisfy(all.contains))
        }
        #expect(seen.allSatisfy { $0 == 1 }, "\(groups) groups, \(microBatches) micro-batches")
      }
    }
  }
}
