/// Turns one piece of text into ids, remembering pieces.
struct PieceEncoder {
  private let symbols: SymbolTable
  /// Pieces that are tokens as they stand, where merges are ignored for those.
  private let wholePieces: [[UInt8]: Int32]
  private var merger: BytePairMerger
  private var cache = PieceCache()

  init(_ definition: TokenizerDefinition) {
    symbols = definition.symbols
    wholePieces = definition.wholePieces
    merger = BytePairMerger(table: definition.merges, joints: definition.joints)
  }

  /// Appends the ids of `piece`.
  mutating func encode(
    _ piece: UnsafeBufferPointer<UInt8>, appendingTo output: inout [Int32]
  ) {
    guard piece.count <= PieceCache.longestPiece else {
      merge(piece)
      output += merger.symbols
      return
    }
    let hash = PieceCache.hash(piece)
    if cache.find(piece, hash: hash, appendingTo: &output) { return }
    merge(piece)
    output += merger.symbols
    cache.insert(piece, hash: hash, tokens: merger.symbols)
  }

  /// Makes the piece's tokens in `merger.symbols`.
  private mutating func merge(_ piece: UnsafeBufferPointer<UInt8>) {
    if !wholePieces.isEmpty, let id = wholePieces[Array(piece)] {
      merger.symbols = [id]
      return
    }
    symbols.symbols(of: piece, into: &merger.symbols)
    merger.merge()
  }
}
