import Foundation
import TokenData

/// What a tokenizer makes of many documents, for comparisons with the `tokenizers` library.
///
///     tokenizer-probe ids TOKENIZER < DOCUMENTS > ANSWERS
///     tokenizer-probe time TOKENIZER SECONDS < DOCUMENTS
///
/// Numbers are little-endian and of four bytes. A document is its number of bytes and the bytes; what
/// is not UTF-8 is replaced. The answer to one is three times a number of things and these: the ids
/// with the template's, as bytes the decoded text of all ids, and that of their last two thirds.
/// `time` encodes all documents again and again for so long and prints the bytes a second of processor
/// time of each pass.
@main struct TokenizerProbe {
  static func main() throws {
    let arguments = CommandLine.arguments
    guard arguments.count >= 3 else {
      print("usage: tokenizer-probe ids|time TOKENIZER [SECONDS] < DOCUMENTS")
      exit(64)
    }
    let documents = try documents()
    do throws(TokenDataError) {
      let tokenizer = try loadTokenizer(arguments[2])
      if arguments[1] == "time" {
        time(tokenizer, documents, seconds: Double(arguments.last ?? "") ?? 1)
      } else {
        answer(tokenizer, documents)
      }
    } catch {
      FileHandle.standardError.write(Data("error: \(error)\n".utf8))
      exit(error.exitCode)
    }
  }

  private static func documents() throws -> [[UInt8]] {
    let input = try FileHandle.standardInput.readToEnd() ?? Data()
    return input.withUnsafeBytes { input in
      var result: [[UInt8]] = []
      var offset = 0
      while offset < input.count {
        let count = Int(input.loadUnaligned(fromByteOffset: offset, as: UInt32.self))
        let bytes = input[(offset + 4)..<(offset + 4 + count)]
        result.append(Array(String(decoding: bytes, as: UTF8.self).utf8))
        offset += 4 + count
      }
      return result
    }
  }

  private static func answer(_ tokenizer: any Tokenizer, _ documents: [[UInt8]]) {
    var answers = Data()
    func add(_ values: some Sequence<Int32>) {
      for value in values {
        withUnsafeBytes(of: value.littleEndian) { answers.append(contentsOf: $0) }
      }
    }
    for document in documents {
      var ids: [Int32] = []
      document.withUnsafeBufferPointer {
        tokenizer.encode(utf8: $0, addSpecial: true, appendingTo: &ids)
      }
      add([Int32(ids.count)])
      add(ids)
      for part in [ids, Array(ids[(ids.count / 3)...])] {
        let text = Array(tokenizer.decode(part).utf8)
        add([Int32(text.count)])
        answers.append(contentsOf: text)
      }
    }
    FileHandle.standardOutput.write(answers)
  }

  private static func time(_ tokenizer: any Tokenizer, _ documents: [[UInt8]], seconds: Double) {
    let byteCount = documents.reduce(0) { $0 + $1.count }
    var ids: [Int32] = []
    let end = processorSeconds() + seconds
    repeat {
      let start = processorSeconds()
      for document in documents {
        ids.removeAll(keepingCapacity: true)
        document.withUnsafeBufferPointer {
          tokenizer.encode(utf8: $0, addSpecial: true, appendingTo: &ids)
        }
      }
      print(Double(byteCount) / (processorSeconds() - start))
    } while processorSeconds() < end
  }

  private static func processorSeconds() -> Double {
    var time = timespec()
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &time)
    return Double(time.tv_sec) + Double(time.tv_nsec) * 1e-9
  }
}
