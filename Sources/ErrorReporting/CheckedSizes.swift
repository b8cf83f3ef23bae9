/// Sums and products of sizes that come from a file, a recipe or a request, where nothing may overflow.
extension Sequence<Int> {
  /// The product of sizes, 1 of none.
  ///
  /// - Parameters:
  ///   - first: another factor.
  ///   - limit: the largest product that is possible.
  /// - Returns: nil if a size is negative, or the product is beyond the limit, though a later size be 0.
  public func checkedProduct(_ first: Int = 1, atMost limit: Int = .max) -> Int? {
    var product = first
    for size in self {
      let (next, overflows) = product.multipliedReportingOverflow(by: size)
      guard size >= 0, !overflows, next <= limit else { return nil }
      product = next
    }
    return product >= 0 && product <= limit ? product : nil
  }

  /// The sum of sizes, 0 of none.
  ///
  /// - Parameter limit: the largest sum that is possible.
  /// - Returns: nil if a size is negative, or the sum is beyond the limit.
  public func checkedSum(atMost limit: Int = .max) -> Int? {
    var sum = 0
    for size in self {
      let (next, overflows) = sum.addingReportingOverflow(size)
      guard size >= 0, !overflows, next <= limit else { return nil }
      sum = next
    }
    return sum
  }
}
