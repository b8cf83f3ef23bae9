import Fields

// The options of the tasks on token ids.

extension MQARTask.Configuration: FieldSection {
  package static var fields: [Field<Self>] {
    [
      .integer(
        "vocab", \.vocabulary, .between(4, largestVocabulary), standard: "8192",
        "ids are below this number"),
      .counts(
        "pairs", \.pairs, .atLeast(1), standard: "4",
        "pairs of a sample; of a list, one is drawn"),
      .integer(
        "updates", \.updates, .atLeast(0), standard: "0", also: ", at most the pairs",
        "keys that get another value; the last one counts"),
      .choice("layout", \.layout, standard: "`zoology`", "arrangement of pairs and queries"),
      .integer(
        "keys", \.keys, .between(1, largestVocabulary), standard: "vocab / 2 - 1",
        also: ", >= pairs", "key ids are 1 to `keys`"),
      .integer(
        "values", \.values, .between(1, largestVocabulary), standard: "the rest",
        also: ", keys + values < vocab", "ids after the keys; `zoology`: >= pairs"),
      .number(
        "power_a", \.powerA, .above(0), standard: "0.01",
        "exponent of the query slots; `zoology` only"),
      .flag(
        "random_non_queries", \.randomNonQueries, standard: "true",
        "blanks become random ids; `zoology` only"),
    ]
  }
}

extension MarkovTextTask.Configuration: FieldSection {
  package static var fields: [Field<Self>] {
    [
      .integer(
        "symbols", \.symbols, .between(2, 4096), standard: "16", "number of symbols"),
      .integer(
        "first_id", \.firstID, .between(0, largestVocabulary), standard: "1",
        "id of the first symbol"),
      .integer(
        "bos", \.beginning, .between(0, largestVocabulary), standard: "0",
        "id that begins a row"),
      tableSeedField,
    ]
  }

  private static var tableSeedField: Field<Self> {
    let description = FieldKey(
      path: "table_seed", type: "integer", standard: "`run.seed`",
      meaning: "seed of the transition table")
    return Field(description) { (configuration, reader) throws(FieldError) in
      guard reader.value("table_seed") != nil else { return }
      let seed = try reader.integer("table_seed", .any, atMost: .max)
      configuration.tableSeed = UInt64(bitPattern: Int64(seed))
    } write: {
      $0.tableSeed.map { .integer(Int(Int64(bitPattern: $0))) }
    }
  }
}

extension CopyingTask.Configuration: FieldSection {
  package static var fields: [Field<Self>] {
    [
      .integer(
        "vocab", \.vocabulary, .between(3, largestVocabulary), standard: "16",
        "ids, the two special ones included"),
      .integer(
        "tokens", \.tokens, .atLeast(1), standard: "16",
        also: ", at most (length - 1) / 2; `s4`: length / 2",
        "tokens to copy"),
      .choice("form", \.form, standard: "`mad`", "whose arrangement a row has"),
    ]
  }
}

extension StringCopyingTask.Configuration: FieldSection {
  package static var fields: [Field<Self>] {
    [
      .choice("mode", \.mode, standard: "`copy`", "what is asked about a string"),
      .integer(
        "letters", \.letters, .between(2, largestVocabulary), standard: "26",
        "letters of the alphabet; four more ids follow them"),
      .integer("min_length", \.shortest, .atLeast(1), standard: "10", "letters of a string"),
      .integer(
        "max_length", \.longest, .atLeast(1), standard: "25", also: ", >= min_length",
        "letters of a string"),
      .integer("ngram", \.ngram, .atLeast(1), standard: "3", "look-ups: letters looked up"),
      .integer(
        "answer", \.answer, .atLeast(0), standard: "0",
        "look-ups: letters of the answer; 0: all that follow"),
    ]
  }
}
