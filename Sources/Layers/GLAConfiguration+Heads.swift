import ErrorReporting

extension GLAConfiguration {
  /// The same block with its key and value channels divided into `heads` heads.
  ///
  /// Merging `H` heads into `h` makes the recurrent state `H / h` times larger: a head's state is
  /// `(H K / h) x (H V / h)`, and there are `h` of them. Heads that shared keys and values go on
  /// sharing them as far as `heads` allows: the new number of key and value heads is the largest
  /// divisor of `heads` that is not above the present number.
  ///
  /// - Precondition: `heads` divides `keyDim` and `valueDim`.
  public func dividedIntoHeads(_ heads: Int) -> GLAConfiguration {
    require(
      heads > 0 && keyDim % heads == 0 && valueDim % heads == 0,
      "\(heads) heads do not divide \(keyDim) key and \(valueDim) value channels")
    var divided = self
    divided.headCount = heads
    var shared = min(keyValueHeadCount, heads)
    while heads % shared != 0 { shared -= 1 }
    divided.keyValueHeadCount = shared
    return divided
  }
}
