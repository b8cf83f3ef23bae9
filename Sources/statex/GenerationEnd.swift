import CommandSupport
import Fields
import Files
import JSON
import TokenData

/// The ids that end a generated text: `eos_token_id` of generation_config.json, a number or a list, else the
/// tokenizer's end-of-text id.
struct GenerationEnd {
  let ids: Set<Int32>

  /// Reads the file of a model directory, where there is one.
  ///
  /// - Throws: `FileError`; `CommandError.data` naming file and field.
  init(model directory: String?, _ tokenizer: any Tokenizer) throws {
    let standard = Set([tokenizer.endOfText].compactMap { $0 })
    guard let path = directory.map({ $0 + "/generation_config.json" }),
      try FileSystem.exists(path)
    else {
      ids = standard
      return
    }
    let json = try JSONValue(contentsOf: path)
    do throws(FieldError) {
      let reader = try FieldReader(FieldValue(json: json, place: .source(path)), keys: nil)
      guard reader.present("eos_token_id") != nil else {
        ids = standard
        return
      }
      let found = try reader.integers(
        "eos_token_id", .between(0, Int(Int32.max)), orOne: true)
      ids = Set(found.map { Int32($0) })
    } catch {
      throw CommandError.data(error.description)
    }
  }
}
