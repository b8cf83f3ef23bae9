import Foundation
import Testing
import TrainingMetrics

private func bytes(_ hex: String) -> [UInt8] {
  hex.split(separator: " ").compactMap { UInt8($0, radix: 16) }
}

@Suite struct TensorBoardTests {
  @Test func versionRecordIsWhatTensorBoardWrites() {
    #expect(
      TensorBoardEvent(wallTime: 0, step: 0, .version).record
        == bytes(
          "18 00 00 00 00 00 00 00 a3 7f 4b 22 09 00 00 00 00 00 00 00 00 1a 0d 62 72 61 69 6e 2e "
            + "45 76 65 6e 74 3a 32 ee df 28 a3"))
  }

  @Test func scalarRecordIsWhatTensorBoardWrites() {
    #expect(
      TensorBoardEvent(wallTime: 0, step: 1, .scalars([("loss", 2.5)])).record
        == bytes(
          "1a 00 00 00 00 00 00 00 12 9b d8 2d 09 00 00 00 00 00 00 00 00 10 01 2a 0d 0a 0b 0a 04 "
            + "6c 6f 73 73 15 00 00 20 40 bb fe 84 c0"))
  }

  @Test func startRecordIsWhatTensorBoardUnderstands() {
    #expect(
      TensorBoardEvent(wallTime: 0, step: 1, .start).record
        == bytes(
          "0f 00 00 00 00 00 00 00 6d 53 2b 09 09 00 00 00 00 00 00 00 00 10 01 3a 02 08 01 31 "
            + "3e 82 88"
        ))
  }

  @Test func stepsBeyondSevenBitsAreVariableLength() {
    let record = TensorBoardEvent(wallTime: 0, step: 300, .start).record
    #expect(Array(record[21..<28]) == bytes("10 ac 02 3a 02 08 01"))
  }

  /// TensorBoard does not go back to a file whose name sorts before one that it has read.
  @Test func aClockThatWasSetBackHidesNothing() throws {
    try withTemporaryFolder { folder in
      let times = [1_700_000_000.0, 1_699_913_600, 1_699_913_700]
      let paths = try times.map {
        try TensorBoardWriter(directory: folder, resumingAfter: 0, wallTime: $0).path
      }
      #expect(paths == paths.sorted() && Set(paths).count == 3)
    }
  }

  @Test func everyStartHasAFileOfItsOwnThatSortsLater() throws {
    try withTemporaryFolder { folder in
      let directory = folder + "/tensorboard"
      var paths: [String] = []
      for start in 0..<12 {
        var writer = try TensorBoardWriter(
          directory: directory, resumingAfter: start, wallTime: 1_700_000_000)
        try writer.append(
          MetricsRow(
            step: start + 1, loss: 1, gradientNorm: 1, learningRate: 1, tokens: 1,
            tokensPerSecond: 1, seconds: 1))
        paths.append(writer.path)
      }
      #expect(Set(paths).count == 12)
      #expect(paths == paths.sorted())
      let contents = try Data(contentsOf: URL(fileURLWithPath: try #require(paths.last)))
      let version = TensorBoardEvent(wallTime: 1_700_000_000, step: 0, .version).record
      let start = TensorBoardEvent(wallTime: 1_700_000_000, step: 12, .start).record
      #expect(contents.starts(with: version + start))
    }
  }
}
