import JSON
import LanguageModels

/// The Python code in an export whose layers differ, by which transformers opens it as it is.
///
/// The files are `Python/*.py` of this room, compiled in. The package `python/` holds the same ones.
struct PythonCode {
  private let family: ModelFamily

  init(_ family: ModelFamily) { self.family = family }

  /// The files, by name, in the order in which they are written.
  var files: [(name: String, bytes: [UInt8])] {
    let shared = (name: "modeling_statex.py", bytes: PackageResources.modeling_statex_py)
    switch family {
    case .gla:
      return [
        shared,
        ("configuration_statex_gla.py", PackageResources.configuration_statex_gla_py),
        ("modeling_statex_gla.py", PackageResources.modeling_statex_gla_py),
      ]
    case .mamba2:
      return [
        shared,
        ("configuration_statex_mamba2.py", PackageResources.configuration_statex_mamba2_py),
        ("modeling_statex_mamba2.py", PackageResources.modeling_statex_mamba2_py),
      ]
    }
  }

  /// The names of all families' files.
  static let fileNames = Set(ModelFamily.allCases.flatMap { PythonCode($0).files.map(\.name) })

  /// The class of the language model, for `architectures`.
  var modelClass: String { stem + "ForCausalLM" }

  /// The value of `auto_map`: which classes of which files transformers' Auto classes take.
  var autoMap: JSONValue {
    let type = family.expandedModelType
    return .object([
      JSONMember("AutoConfig", .string("configuration_\(type).\(stem)Config")),
      JSONMember("AutoModelForCausalLM", .string("modeling_\(type).\(modelClass)")),
    ])
  }

  private var stem: String {
    switch family {
    case .gla: "StatexGLA"
    case .mamba2: "StatexMamba2"
    }
  }
}
