import LanguageModels
import Layers
import StateExpansion
import Testing

@Suite struct ExpansionReportTests {
  /// GLA-1.3B as published; nothing is allocated.
  private let published = ModelConfiguration(
    family: .gla, hiddenSize: 2048, vocabularySize: 32_000, normEpsilon: 1e-6,
    tiesEmbeddings: false,
    layers: Array(
      repeating: .gla(
        GLAConfiguration(
          hiddenSize: 2048, headCount: 4, keyDim: 1024, valueDim: 2048, intermediateSize: 5632)),
      count: 24))

  @Test func publishedModelExpandedAsInThePaper() throws {
    let report = try ExpansionReport(
      of: ExpansionPlan(layers: .every(6), size: .heads(1)), applyingTo: published)
    #expect(report.stateBefore == 12_582_912 && report.stateAfter == 18_874_368)
    #expect(report.parametersBefore == 1_365_514_240)
    #expect(report.parametersAfter == 1_365_514_240 + 4 * (2048 - 512))
    #expect(report.newMatrixParameters == 0 && report.newVectorParameters == 6144)
    #expect(report.layers.map(\.index) == [0, 6, 12, 18])
    for layer in report.layers {
      #expect(layer.stateBefore == 524_288 && layer.stateAfter == 2_097_152)
      #expect(layer.parametersBefore == 51_435_008 && layer.parametersAfter == 51_436_544)
    }
    #expect(
      report.description == """
        layer       state before            after  numbers before       after     x
        0          4 x 256 x 512  1 x 1024 x 2048         524,288   2,097,152  4.00
        6          4 x 256 x 512  1 x 1024 x 2048         524,288   2,097,152  4.00
        12         4 x 256 x 512  1 x 1024 x 2048         524,288   2,097,152  4.00
        18         4 x 256 x 512  1 x 1024 x 2048         524,288   2,097,152  4.00
        20 others                                      10,485,760  10,485,760  1.00
        total                                          12,582,912  18,874,368  1.50
        recurrent state: 12.58 M -> 18.87 M numbers a sequence
        parameters: 1,365,514,240 -> 1,365,520,384 (1,365.51 M -> 1,365.52 M); \
        no new projection parameter, 6,144 new norm weights and biases
        """)
  }

  @Test func sharedHeadsCostProjections() throws {
    var model = published
    var block = GLAConfiguration(
      hiddenSize: 32, headCount: 4, keyDim: 16, valueDim: 32, intermediateSize: 24)
    block.keyValueHeadCount = 2
    model.layers = [.gla(block)]
    let report = try ExpansionReport(
      of: ExpansionPlan(layers: .list([0]), size: .heads(1)), applyingTo: model)
    // k_proj and v_proj double to 16 and 32 rows of 32, gk_proj.1 to 16 rows of 16 with its bias.
    #expect(report.newMatrixParameters == 8 * 32 + 16 * 32 + 8 * 16)
    #expect(report.newVectorParameters == 8 + 24)
    #expect(report.summary.contains("896 new projection parameters"))
    #expect(!report.description.contains("other"))
  }
}
