import StateExpansion
import Testing

@Suite struct LayerSelectionTests {
  @Test func everySixthOf24() throws {
    #expect(try LayerSelection.every(6).indices(layerCount: 24) == [0, 6, 12, 18])
    #expect(try LayerSelection.every(1).indices(layerCount: 3) == [0, 1, 2])
    #expect(try LayerSelection.every(9).indices(layerCount: 3) == [0])
  }

  @Test func listsAreSorted() throws {
    #expect(try LayerSelection.list([5, 0]).indices(layerCount: 6) == [0, 5])
  }

  @Test(arguments: [
    (LayerSelection.every(0), "every: 0"), (.every(-6), "every: -6"), (.list([]), "no layer"),
    (.list([6]), "layer 6 is not one of 0 to 5"), (.list([-1]), "layer -1"),
    (.list([2, 1, 2]), "layer 2 is listed twice"),
  ])
  func wrongSelections(selection: LayerSelection, expected: String) {
    let error = #expect(throws: ExpansionError.self) {
      try selection.indices(layerCount: 6)
    }
    #expect(error?.description.contains(expected) == true)
    #expect(error?.description.hasPrefix("expansion.layers: ") == true)
    #expect(error?.exitCode == 64)
  }
}
