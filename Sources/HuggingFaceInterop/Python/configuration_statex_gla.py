"""Configuration of GLA models whose layers may differ: fla's fields, and `statex.layers` beside them."""

from typing import Any, NamedTuple

from transformers.configuration_utils import PretrainedConfig


class GLAHeads(NamedTuple):
    """How one layer divides its channels."""

    heads: int
    """Heads of queries, values and outputs."""
    kv_heads: int
    """Heads of keys, values and gates before they are repeated; divides `heads`."""
    mixing: bool
    """Whether each head reads the keys of all heads (`head_mixing.weight`)."""


class StatexGLAConfig(PretrainedConfig):
    """The fields of fla's `GLAConfig`, which describe the base layer, and the layers that differ from it.

    `statex = {"layers": {"0": {"num_heads": 1}}}`; an entry may have `num_heads`, `num_kv_heads` and
    `head_mixing`.
    """

    model_type = "statex_gla"
    keys_to_ignore_at_inference = ["past_key_values"]

    def __init__(
        self,
        vocab_size: int = 32000,
        hidden_size: int = 2048,
        num_hidden_layers: int = 24,
        num_heads: int = 4,
        num_kv_heads: int | None = None,
        expand_k: float = 0.5,
        expand_v: float = 1.0,
        hidden_ratio: float | None = 4,
        intermediate_size: int | None = None,
        feature_map: str | None = None,
        use_short_conv: bool = False,
        conv_size: int = 4,
        use_output_gate: bool = True,
        clamp_min: float | None = None,
        elementwise_affine: bool = True,
        fuse_norm: bool = True,
        norm_eps: float = 1e-6,
        hidden_act: str = "swish",
        initializer_range: float = 0.02,
        use_cache: bool = True,
        statex: dict[str, Any] | None = None,
        bos_token_id: int | None = 1,
        eos_token_id: int | None = 2,
        tie_word_embeddings: bool = False,
        **kwargs: Any,
    ) -> None:
        self.vocab_size = vocab_size
        self.hidden_size = hidden_size
        self.num_hidden_layers = num_hidden_layers
        self.num_heads = num_heads
        self.num_kv_heads = num_kv_heads
        self.expand_k = expand_k
        self.expand_v = expand_v
        self.hidden_ratio = hidden_ratio
        self.intermediate_size = intermediate_size
        self.feature_map = feature_map
        self.use_short_conv = use_short_conv
        self.conv_size = conv_size
        self.use_output_gate = use_output_gate
        self.clamp_min = clamp_min
        self.elementwise_affine = elementwise_affine
        self.fuse_norm = fuse_norm
        self.norm_eps = norm_eps
        self.hidden_act = hidden_act
        self.initializer_range = initializer_range
        self.use_cache = use_cache
        self.statex = statex
        _refuse(kwargs, "use_gk", (True,))
        _refuse(kwargs, "use_gv", (False,))
        _refuse(kwargs, "attn", (None,))
        _refuse(kwargs, "attnres_block_size", (None,))
        _refuse(kwargs, "conv_bias", (None, False))
        _refuse({"hidden_act": hidden_act}, "hidden_act", ("swish",))
        super().__init__(
            bos_token_id=bos_token_id,
            eos_token_id=eos_token_id,
            tie_word_embeddings=tie_word_embeddings,
            **kwargs,
        )

    @property
    def key_dim(self) -> int:
        """Key channels of all heads together."""
        return round(self.hidden_size * self.expand_k)

    @property
    def value_dim(self) -> int:
        """Value channels of all heads together."""
        return round(self.hidden_size * self.expand_v)

    @property
    def mlp_dim(self) -> int:
        """Width of the MLP: `intermediate_size`, or fla's rule from `hidden_ratio`."""
        if self.intermediate_size is not None:
            return self.intermediate_size
        ratio = 4 if self.hidden_ratio is None else self.hidden_ratio
        width = int(self.hidden_size * ratio * 2 / 3)
        return max((width + 255) // 256 * 256, 256)

    def layer_heads(self, index: int) -> GLAHeads:
        """The heads of layer `index`."""
        shared = self.num_kv_heads or self.num_heads
        entry = ((self.statex or {}).get("layers") or {}).get(str(index))
        if entry is None:
            return GLAHeads(self.num_heads, shared, False)
        unknown = set(entry) - {"num_heads", "num_kv_heads", "head_mixing"}
        if unknown:
            raise ValueError(f"statex.layers.{index}: unknown {sorted(unknown)}")
        heads = entry.get("num_heads") or self.num_heads
        # Left out, it is the largest divisor of the heads that is not above the base's number.
        default = max(n for n in range(1, min(heads, shared) + 1) if heads % n == 0)
        kv_heads = entry.get("num_kv_heads") or default
        return GLAHeads(heads, kv_heads, bool(entry.get("head_mixing", False)))


def _refuse(fields: dict[str, Any], name: str, supported: tuple[Any, ...]) -> None:
    """Raises if a field asks for other mathematics than this code has."""
    if name in fields and fields[name] not in supported:
        raise ValueError(f"{name} = {fields[name]!r} is not supported, only {supported[0]!r}")
