/// Which parameters of a model are trained; the others are frozen.
public enum TrainableParameters: Sendable, Equatable {
  /// All of them.
  case all
  /// Those of these blocks, whole: mixer, norms and MLP.
  case blocks(Set<Int>)

  /// Whether block `index` is trained.
  public func containsBlock(_ index: Int) -> Bool {
    switch self {
    case .all: true
    case .blocks(let blocks): blocks.contains(index)
    }
  }

  /// Whether the parameter of that name is trained.
  func contains(_ name: String, family: ModelFamily) -> Bool {
    switch self {
    case .all: true
    case .blocks(let blocks): blocks.contains { name.hasPrefix(family.layerPrefix($0)) }
    }
  }

  /// The lowest block whose backward pass is needed: nothing below it is trained, embeddings included.
  var lowestBlock: Int {
    switch self {
    case .all: 0
    case .blocks(let blocks): blocks.min() ?? 0
    }
  }
}
