import JSON

/// What a user should know about a `config.json` that is read all the same.
enum ConfigWarnings {
  /// Fields of any model in transformers 4 and 5: bookkeeping, special tokens, generation.
  private static let common = [
    "architectures", "auto_map", "model_type", "transformers_version", "_name_or_path",
    "_commit_hash", "torch_dtype", "dtype", "torchscript", "use_bfloat16", "use_cache",
    "tie_word_embeddings", "tie_encoder_decoder", "is_encoder_decoder", "is_decoder",
    "add_cross_attention", "cross_attention_hidden_size", "chunk_size_feed_forward",
    "pruned_heads", "initializer_range", "attn_implementation", "_attn_implementation_autoset",
    "return_dict", "output_attentions", "output_hidden_states", "output_scores",
    "return_dict_in_generate", "id2label", "label2id", "num_labels", "problem_type",
    "finetuning_task", "task_specific_params", "tokenizer_class", "prefix", "tf_legacy_loss",
    "bos_token_id", "eos_token_id", "pad_token_id", "sep_token_id", "decoder_start_token_id",
    "forced_bos_token_id", "forced_eos_token_id", "suppress_tokens", "begin_suppress_tokens",
    "bad_words_ids", "max_length", "min_length", "do_sample", "early_stopping", "num_beams",
    "num_beam_groups", "num_return_sequences", "diversity_penalty", "temperature", "top_k",
    "top_p", "typical_p", "repetition_penalty", "length_penalty", "no_repeat_ngram_size",
    "encoder_no_repeat_ngram_size", "exponential_decay_length_penalty", "remove_invalid_values",
    "quantization_config", "statex",
  ]

  /// One line for each field that nothing reads, and for options that have no effect.
  ///
  /// - Parameters:
  ///   - config: the fields.
  ///   - dialect: whose they are.
  ///   - source: the file's path.
  /// - Returns: texts without a line break.
  static func lines(
    _ config: [JSONMember], dialect: any ModelDialect, source: String
  ) -> [String] {
    let known = Set(common + dialect.knownFields)
    let unread = config.filter { !known.contains($0.name) }.map {
      "\(source): field '\($0.name)' is not one of \(dialect.name); it is ignored"
    }
    return unread + dialect.remarks(on: config).map { "\(source): \($0)" }
  }
}

extension GLADialect {
  var knownFields: [String] {
    [
      "hidden_size", "expand_k", "expand_v", "hidden_ratio", "intermediate_size",
      "num_hidden_layers", "num_heads", "num_kv_heads", "feature_map", "attn_mode",
      "use_short_conv", "conv_size", "conv_bias", "share_conv_kernel", "use_output_gate",
      "clamp_min", "hidden_act", "max_position_embeddings", "elementwise_affine", "norm_eps",
      "use_gk", "use_gv", "attn", "attnres_block_size", "fuse_norm", "fuse_swiglu",
      "fuse_cross_entropy", "fuse_linear_cross_entropy", "use_l2warp", "vocab_size",
    ]
  }
}

extension Mamba2Dialect {
  func remarks(on config: [JSONMember]) -> [String] {
    guard Self.ignoresNormFirst(config) else { return [] }
    return [
      "field 'norm_before_gate' is true; it is ignored, as transformers does: the norm comes after"
        + " the gate"
    ]
  }

  /// Fields of fla's that transformers does not know.
  static let flaFields = [
    "norm_eps", "dt_limit", "dt_min", "dt_max", "dt_init_floor", "A_init_range", "D_has_hdim",
    "norm_before_gate", "rmsnorm", "conv_init", "fuse_norm", "fuse_cross_entropy",
    "fuse_linear_cross_entropy", "use_l2warp",
  ]

  /// Both libraries' fields, and those of transformers' first Mamba2 checkpoints that it does not read.
  var knownFields: [String] {
    Self.flaFields + [
      "hidden_size", "num_hidden_layers", "num_heads", "head_dim", "state_size", "n_groups",
      "expand", "conv_kernel", "use_bias", "use_conv_bias", "hidden_act", "layer_norm_epsilon",
      "time_step_limit", "time_step_rank", "time_step_min", "time_step_max", "time_step_floor",
      "rescale_prenorm_residual", "residual_in_fp32", "chunk_size", "vocab_size",
      "intermediate_size", "rms_norm", "time_step_init_scheme", "time_step_scale",
    ]
  }
}
