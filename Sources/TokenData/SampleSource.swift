/// Something that can write numbered training samples.
///
/// Sample `i` is a pure function of how the source was made and `i`: it does not depend on which
/// samples were written before. Sources keep scratch memory and are therefore classes used by one
/// thread at a time; once warm, sources that do not call a tokenizer write without allocating.
public protocol SampleSource: AnyObject {
  /// Positions in a sample, `T`.
  var sequenceLength: Int { get }

  /// How many different samples there are; nil when they never end.
  var sampleCount: Int? { get }

  /// All token ids written are below this number.
  var requiredVocabulary: Int { get }

  /// Overwrites `buffer` with sample `index`.
  ///
  /// - Parameters:
  ///   - index: which sample; below `sampleCount` where that is not nil.
  ///   - buffer: where to write; its length is `sequenceLength`.
  /// - Throws: an error of the source's room when stored data turn out to be damaged.
  func write(sample index: UInt64, into buffer: SampleBuffer) throws

  /// Overwrites `history` with the number of tokens of its document before each input of sample
  /// `index`, also those before the sample.
  func writeHistory(sample index: UInt64, into history: UnsafeMutableBufferPointer<Int32>)

  /// Whether sample `index` can be written now; else it can be later.
  ///
  /// - Throws: what keeps it from ever being written.
  func isReady(sample index: UInt64) throws -> Bool

  /// How often a source that orders its samples itself was gone through before sample `index`.
  func epoch(ofSample index: UInt64) -> UInt64

  /// The documents that sample `index` has tokens of, by their file and their numbers in it, counted from 0
  /// without empty ones; nil where samples are not cut from documents.
  func documents(ofSample index: UInt64) -> (file: String, numbers: ClosedRange<Int>)?
}

extension SampleSource {
  /// All samples are there from the beginning.
  public func isReady(sample index: UInt64) -> Bool { true }

  /// A source that never ends or that is ordered by others.
  public func epoch(ofSample index: UInt64) -> UInt64 { 0 }

  /// A source without documents.
  public func documents(ofSample index: UInt64) -> (file: String, numbers: ClosedRange<Int>)? {
    nil
  }

  /// A sample that is one document.
  public func writeHistory(sample index: UInt64, into history: UnsafeMutableBufferPointer<Int32>) {
    for t in history.indices { history[t] = Int32(t) }
  }
}
