import Testing
import Training

/// Which precision a run takes: the weakest processor decides.
@Suite("precision")
struct RunPrecisionTests {
  @Test("with bf16 instructions everywhere")
  func everywhere() {
    #expect(RunPrecision(.fp32, slowHosts: []).products == .fp32)
    #expect(RunPrecision(.bf16, slowHosts: []).products == .bf16(.oneDNN))
    #expect(RunPrecision(.bf16, slowHosts: []).note == nil)
    #expect(RunPrecision(.auto, slowHosts: []).products == .bf16(.oneDNN))
  }

  @Test("with one machine that has none")
  func oneWithout() {
    let hosts = ["node7"]
    #expect(RunPrecision(.fp32, slowHosts: hosts) == RunPrecision(.fp32, slowHosts: []))
    let auto = RunPrecision(.auto, slowHosts: hosts)
    #expect(auto.products == .fp32)
    #expect(
      auto.note
        == .information(
          "train.precision: auto selects fp32 here: no bf16 instructions (avx512_bf16 or amx_bf16) on node7"
        ))
    let bf16 = RunPrecision(.bf16, slowHosts: hosts)
    #expect(bf16.products == .bf16(.portable))
    guard case .warning = bf16.note else {
      Issue.record("no warning")
      return
    }
  }
}
