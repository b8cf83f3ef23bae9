import JSON
import LanguageModels

/// The Python code in an export whose layers differ, by which transformers opens it as it is.
///
/// The files are `Python/*.py` of this room, compiled in. The package `python/` holds the same ones.
public struct PythonCode: Sendable {
  /// The files, by name, in the order in which they are written.
  let files: [(name: String, bytes: [UInt8])]
  /// What the classes' names begin with, for example `StatexGLA`.
  private let stem: String

  /// Names classes and files: `configuration_TYPE.py` has `STEMConfig` and `modeling_TYPE.py` has
  /// `STEMForCausalLM`, TYPE being the `model_type` of an export whose layers differ.
  public init(stem: String, files: [(name: String, bytes: [UInt8])]) {
    (self.stem, self.files) = (stem, files)
  }

  /// The names of all families' files.
  static var fileNames: Set<String> {
    Set(ModelFamilies.all.flatMap { $0.huggingFace?.pythonCode?.files.map(\.name) ?? [] })
  }

  /// The class of the language model, for `architectures`.
  var modelClass: String { stem + "ForCausalLM" }

  /// The value of `auto_map`: which classes of which files transformers' Auto classes take.
  func autoMap(_ family: ModelFamily) -> JSONValue {
    let type = family.expandedModelType
    return .object([
      JSONMember("AutoConfig", .string("configuration_\(type).\(stem)Config")),
      JSONMember("AutoModelForCausalLM", .string("modeling_\(type).\(modelClass)")),
    ])
  }
}
