import CommandSupport
import Testing

@Suite struct AlignedTableTests {
  @Test func theFirstColumnStandsLeftTheOthersRight() {
    #expect(
      alignedTable([["name", "loss", "n"], ["a", "1.25", "100"], ["long name", "0.5", "7"]])
        == """
        name       loss    n
        a          1.25  100
        long name   0.5    7
        """)
  }

  @Test func rowsMayBeShorterThanOthers() {
    #expect(alignedTable([["a"], ["bb", "1", "2"]]) == "a \nbb  1  2")
    #expect(alignedTable([]).isEmpty)
  }
}
