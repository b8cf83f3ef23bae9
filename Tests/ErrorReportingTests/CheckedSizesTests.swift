import ErrorReporting
import Testing

@Suite struct CheckedSizesTests {
  @Test func productsThatOverflowAreNone() {
    #expect([3, 5].checkedProduct(4) == 60)
    #expect([Int]().checkedProduct() == 1)
    #expect([1 << 31, 1 << 31].checkedProduct() == 1 << 62)
    #expect([1 << 32, 1 << 31].checkedProduct() == nil)
    #expect([1 << 62, 2, 0].checkedProduct() == nil)
    #expect([0, 1 << 62, 1 << 62].checkedProduct() == 0)
    #expect([7, 11].checkedProduct(atMost: 77) == 77)
    #expect([7, 11].checkedProduct(atMost: 76) == nil)
    #expect([-1, -1].checkedProduct() == nil)
  }

  @Test func sumsThatOverflowAreNone() {
    #expect([1, 2, 3].checkedSum() == 6)
    #expect([Int.max, 0].checkedSum() == .max)
    #expect([Int.max, 1].checkedSum() == nil)
    #expect([4, 4].checkedSum(atMost: 7) == nil)
    #expect([4, -1].checkedSum() == nil)
  }
}
