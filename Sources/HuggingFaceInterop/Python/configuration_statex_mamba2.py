"""Configuration of Mamba2 models whose layers may differ: transformers' fields, and `statex.layers`."""

from typing import Any

from transformers.configuration_utils import PretrainedConfig


class StatexMamba2Config(PretrainedConfig):
    """The fields of transformers' `Mamba2Config`, which describe the base layer, and the layers that differ.

    `statex = {"layers": {"0": {"state_size": 512}}}`.
    """

    model_type = "statex_mamba2"
    keys_to_ignore_at_inference = ["past_key_values"]

    def __init__(
        self,
        vocab_size: int = 50288,
        hidden_size: int = 2048,
        num_hidden_layers: int = 48,
        state_size: int = 128,
        num_heads: int | None = None,
        head_dim: int = 64,
        n_groups: int = 1,
        expand: float = 2,
        conv_kernel: int = 4,
        use_bias: bool = False,
        use_conv_bias: bool = True,
        time_step_limit: Any = None,
        layer_norm_epsilon: float = 1e-5,
        residual_in_fp32: bool = True,
        hidden_act: str = "silu",
        initializer_range: float = 0.02,
        use_cache: bool = True,
        statex: dict[str, Any] | None = None,
        bos_token_id: int | None = 0,
        eos_token_id: int | None = 0,
        pad_token_id: int | None = 0,
        tie_word_embeddings: bool = False,
        **kwargs: Any,
    ) -> None:
        inner = int(expand * hidden_size)
        heads = inner // head_dim if num_heads is None else num_heads
        if heads * head_dim != inner:
            raise ValueError(f"num_heads ({heads}) x head_dim ({head_dim}) must be expand x hidden_size ({inner})")
        if heads % n_groups:
            raise ValueError(f"n_groups ({n_groups}) must divide the {heads} heads")
        if hidden_act not in ("silu", "swish"):
            raise ValueError(f"hidden_act = {hidden_act!r} is not supported, only 'silu'")
        self.vocab_size = vocab_size
        self.hidden_size = hidden_size
        self.num_hidden_layers = num_hidden_layers
        self.state_size = state_size
        self.num_heads = heads
        self.head_dim = head_dim
        self.n_groups = n_groups
        self.expand = expand
        self.conv_kernel = conv_kernel
        self.use_bias = use_bias
        self.use_conv_bias = use_conv_bias
        self.time_step_limit = _bounds(time_step_limit)
        self.layer_norm_epsilon = layer_norm_epsilon
        self.residual_in_fp32 = residual_in_fp32
        self.hidden_act = hidden_act
        self.initializer_range = initializer_range
        self.use_cache = use_cache
        self.statex = statex
        super().__init__(
            bos_token_id=bos_token_id,
            eos_token_id=eos_token_id,
            pad_token_id=pad_token_id,
            tie_word_embeddings=tie_word_embeddings,
            **kwargs,
        )

    def layer_state_size(self, index: int) -> int:
        """State channels of each group in layer `index`."""
        entry = ((self.statex or {}).get("layers") or {}).get(str(index), {})
        unknown = set(entry) - {"state_size"}
        if unknown:
            raise ValueError(f"statex.layers.{index}: unknown {sorted(unknown)}")
        return entry.get("state_size") or self.state_size


def _bounds(limit: Any) -> list[float]:
    """Lower and upper bound of the time steps; infinity may be a number, a word or `{"__float__": word}`."""

    def number(value: Any) -> float:
        return float(value["__float__"] if isinstance(value, dict) else value)

    low, high = limit or (0.0, float("inf"))
    return [number(low), number(high)]
