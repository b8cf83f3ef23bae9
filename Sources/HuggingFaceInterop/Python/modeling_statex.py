"""What the recurrent models of statex share: the state between calls, padding, and the language-model head.

Letters: B batch, T tokens, D hidden size, C channels, W taps of a convolution.
"""

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from transformers.generation import GenerationMixin
from transformers.modeling_layers import GradientCheckpointingLayer
from transformers.modeling_outputs import BaseModelOutputWithPast, CausalLMOutputWithPast
from transformers.modeling_utils import PreTrainedModel

LayerState = tuple[Tensor, ...]
"""What a layer keeps of the tokens it has read: its recurrent state, then the tails of its convolutions."""


class RecurrentCache:
    """The state of a whole model between calls. Its size does not depend on the number of tokens read."""

    is_compileable = False

    def __init__(self) -> None:
        self.layers: dict[int, LayerState] = {}
        self.seen_tokens = 0

    def get_seq_length(self, layer_idx: int = 0) -> int:
        """Positions read so far, padding included."""
        return self.seen_tokens

    def reorder_cache(self, beam_idx: Tensor) -> None:
        """Keeps the sequences `beam_idx` of the batch, in that order."""
        for index, state in self.layers.items():
            self.layers[index] = tuple(part.index_select(0, beam_idx.to(part.device)) for part in state)


class Padding:
    """A batch in which each sequence has its own tokens only: those that are masked out do not exist.

    Inside the layers a sequence's tokens come first, whatever side the padding was on, so that a convolution
    and the state before continue at the first of them.
    """

    def __init__(self, mask: Tensor) -> None:
        """Takes a mask [B, T], 0 where there is no token."""
        absent = mask == 0
        self._order = absent.to(torch.uint8).argsort(dim=1, stable=True)
        self.present = ~absent.gather(1, self._order)
        """[B, T], true at each sequence's tokens."""
        self.lengths = self.present.sum(1)
        """[B] tokens of each sequence."""

    def pack(self, x: Tensor) -> Tensor:
        """Moves each sequence's tokens of x [B, T, D] to the front."""
        return x.gather(1, self._order[..., None].expand_as(x))

    def unpack(self, x: Tensor) -> Tensor:
        """The inverse of `pack`."""
        return torch.empty_like(x).scatter(1, self._order[..., None].expand_as(x), x)


def padding_of(attention_mask: Tensor | None, tokens: int) -> Padding | None:
    """The padding among the last `tokens` columns of a mask [B, columns]; None if there is none."""
    if attention_mask is None:
        return None
    if attention_mask.dim() != 2 or attention_mask.shape[1] < tokens:
        raise ValueError(
            f"attention_mask has the shape {tuple(attention_mask.shape)}; expected [batch, at least {tokens}]"
        )
    mask = attention_mask[:, attention_mask.shape[1] - tokens :]
    return None if bool((mask != 0).all()) else Padding(mask)


def wide(x: Tensor) -> Tensor:
    """x in float32, or in float64 if that is what it has: the precision of recurrences and norms."""
    return x.to(torch.promote_types(x.dtype, torch.float32))


def rms_norm(x: Tensor, weight: Tensor | None, eps: float) -> Tensor:
    """`x / sqrt(mean(x^2) + eps) * weight` over the last dimension."""
    y = wide(x)
    y = (y * torch.rsqrt(y.square().mean(-1, keepdim=True) + eps)).to(x.dtype)
    return y if weight is None else weight * y


class RMSNorm(nn.Module):
    """RMSNorm over the last dimension; `affine=False` leaves out the weight."""

    def __init__(self, width: int, eps: float, affine: bool = True) -> None:
        super().__init__()
        self.eps = eps
        self.weight = nn.Parameter(torch.ones(width)) if affine else None

    def forward(self, x: Tensor) -> Tensor:
        return rms_norm(x, self.weight, self.eps)


class ShortConvolution(nn.Conv1d):
    """A causal convolution of W taps for each channel, then SiLU."""

    def __init__(self, channels: int, taps: int, bias: bool = False) -> None:
        super().__init__(channels, channels, taps, groups=channels, bias=bias)

    def forward(self, x: Tensor, tail: Tensor | None, padding: Padding | None) -> tuple[Tensor, Tensor]:
        """Convolves x [B, T, C], which follows the inputs `tail` [B, W - 1, C], zeros if None.

        Returns y [B, T, C] and the tail for the tokens that come next.
        """
        taps = self.kernel_size[0]
        if tail is None:
            tail = x.new_zeros(x.shape[0], taps - 1, x.shape[2])
        inputs = torch.cat([tail, x], dim=1)
        y = F.conv1d(inputs.transpose(1, 2), self.weight, self.bias, groups=self.groups).transpose(1, 2)
        if padding is None:
            return F.silu(y), inputs[:, x.shape[1] :]
        last = padding.lengths[:, None] + torch.arange(taps - 1, device=x.device)
        return F.silu(y), inputs.gather(1, last[..., None].expand(-1, -1, x.shape[2]))


class RecurrentBlock(GradientCheckpointingLayer):
    """One layer of a model. A family's block defines `mix`."""

    def __init__(self, index: int) -> None:
        super().__init__()
        self.index = index

    def mix(
        self, x: Tensor, state: LayerState | None, padding: Padding | None
    ) -> tuple[Tensor, LayerState]:
        """The residual stream [B, T, D] after this layer, and the layer's next state."""
        raise NotImplementedError

    def forward(
        self, x: Tensor, padding: Padding | None = None, past_key_values: RecurrentCache | None = None
    ) -> Tensor:
        """The residual stream [B, T, D] after this layer; moves the cache on."""
        if past_key_values is None:
            return self.mix(x, None, padding)[0]
        x, past_key_values.layers[self.index] = self.mix(
            x, past_key_values.layers.get(self.index), padding)
        return x


class StatexPreTrainedModel(PreTrainedModel):
    """What the bare model and the language model have in common; a family's adds its configuration and names."""

    supports_gradient_checkpointing = True
    _is_stateful = True

    def get_input_embeddings(self) -> nn.Embedding:
        return self.base_model.embeddings

    def set_input_embeddings(self, value: nn.Embedding) -> None:
        self.base_model.embeddings = value

    def _init_weights(self, module: nn.Module) -> None:
        deviation = self.config.initializer_range
        if isinstance(module, nn.Linear):
            nn.init.normal_(module.weight, std=deviation)
            if module.bias is not None:
                nn.init.zeros_(module.bias)
        elif isinstance(module, nn.Embedding):
            nn.init.normal_(module.weight, std=deviation)
        elif isinstance(module, RMSNorm) and module.weight is not None:
            nn.init.ones_(module.weight)
        elif isinstance(module, nn.Conv1d):
            for parameter in module.parameters():
                bound = module.kernel_size[0] ** -0.5
                nn.init.uniform_(parameter, -bound, bound)


class StatexModel(StatexPreTrainedModel):
    """Embeddings, blocks and the last norm."""

    def __init__(
        self, config: Any, block: Callable[[Any, int], RecurrentBlock], norm_name: str, norm_eps: float
    ) -> None:
        super().__init__(config)
        self.embeddings = nn.Embedding(config.vocab_size, config.hidden_size)
        self.layers = nn.ModuleList(block(config, index) for index in range(config.num_hidden_layers))
        self.norm_name = norm_name
        setattr(self, norm_name, RMSNorm(config.hidden_size, norm_eps))
        self.gradient_checkpointing = False
        self.post_init()

    def last_norm(self, x: Tensor) -> Tensor:
        """The norm after the last layer, in the type of its weight."""
        norm = getattr(self, self.norm_name)
        return norm(x.to(norm.weight.dtype))

    def forward(
        self,
        input_ids: Tensor | None = None,
        attention_mask: Tensor | None = None,
        inputs_embeds: Tensor | None = None,
        past_key_values: RecurrentCache | None = None,
        use_cache: bool | None = None,
        output_hidden_states: bool | None = None,
        return_dict: bool | None = None,
        **_: Any,
    ) -> BaseModelOutputWithPast | tuple:
        """Hidden states [B, T, D] of tokens [B, T].

        Positions with a 0 in `attention_mask` [B, T] are no tokens, on either side: they reach no output,
        and what stands there in the result means nothing. With `past_key_values` the tokens follow those it
        has read, and the mask may also cover these.
        """
        if (input_ids is None) == (inputs_embeds is None):
            raise ValueError("give either input_ids or inputs_embeds")
        if past_key_values is not None and not isinstance(past_key_values, RecurrentCache):
            raise TypeError(f"past_key_values is a {type(past_key_values).__name__}, not a RecurrentCache")
        use_cache = self.config.use_cache and not self.training if use_cache is None else use_cache
        if self.gradient_checkpointing and self.training:
            use_cache = False
        x = self.embeddings(input_ids) if inputs_embeds is None else inputs_embeds
        tokens = x.shape[1]
        padding = padding_of(attention_mask, tokens)
        cache = past_key_values if past_key_values is not None or not use_cache else RecurrentCache()
        states = [x]
        x = padding.pack(x) if padding else x
        for layer in self.layers:
            x = layer(x, padding, past_key_values=cache)
            if output_hidden_states:
                states.append(padding.unpack(x) if padding else x)
        x = self.last_norm(x)
        x = padding.unpack(x) if padding else x
        if cache is not None:
            cache.seen_tokens += tokens
        states[-1:] = [x] if output_hidden_states else []
        output = BaseModelOutputWithPast(
            last_hidden_state=x,
            past_key_values=cache if use_cache else None,
            hidden_states=tuple(states) if output_hidden_states else None,
        )
        return output.to_tuple() if return_dict is False else output


class StatexForCausalLM(StatexPreTrainedModel, GenerationMixin):
    """A language model: a family's `StatexModel`, under the family's name for it, and `lm_head`."""

    def __init__(self, config: Any, model: StatexModel) -> None:
        super().__init__(config)
        setattr(self, self.base_model_prefix, model)
        self.lm_head = nn.Linear(config.hidden_size, config.vocab_size, bias=False)
        self.post_init()

    def get_output_embeddings(self) -> nn.Linear:
        return self.lm_head

    def set_output_embeddings(self, value: nn.Linear) -> None:
        self.lm_head = value

    def forward(
        self,
        input_ids: Tensor | None = None,
        attention_mask: Tensor | None = None,
        inputs_embeds: Tensor | None = None,
        past_key_values: RecurrentCache | None = None,
        labels: Tensor | None = None,
        use_cache: bool | None = None,
        output_hidden_states: bool | None = None,
        return_dict: bool | None = None,
        logits_to_keep: int | Tensor = 0,
        **kwargs: Any,
    ) -> CausalLMOutputWithPast | tuple:
        """Logits [B, T, vocabulary] of tokens [B, T], and with `labels` [B, T] the mean loss.

        As everywhere in transformers, `labels` are the tokens themselves (they are shifted here) with -100
        where nothing is to be predicted. See `StatexModel.forward` for masks and `past_key_values`.
        """
        outputs = self.base_model(
            input_ids=input_ids,
            attention_mask=attention_mask,
            inputs_embeds=inputs_embeds,
            past_key_values=past_key_values,
            use_cache=use_cache,
            output_hidden_states=output_hidden_states,
        )
        kept = slice(-logits_to_keep, None) if isinstance(logits_to_keep, int) else logits_to_keep
        logits = self.lm_head(outputs.last_hidden_state[:, kept])
        loss = None
        if labels is not None:
            loss = self.loss_function(logits=logits, labels=labels, vocab_size=self.config.vocab_size, **kwargs)
        output = CausalLMOutputWithPast(
            loss=loss,
            logits=logits,
            past_key_values=outputs.past_key_values,
            hidden_states=outputs.hidden_states,
        )
        return output.to_tuple() if return_dict is False else output

    # Generation: the state is ours, made by the first call and moved on by each that follows.

    def _prepare_cache_for_generation(self, *_: Any, **__: Any) -> None:
        pass

    def prepare_inputs_for_generation(
        self,
        input_ids: Tensor,
        past_key_values: RecurrentCache | None = None,
        attention_mask: Tensor | None = None,
        inputs_embeds: Tensor | None = None,
        use_cache: bool | None = None,
        logits_to_keep: int | None = None,
        **_: Any,
    ) -> dict[str, Any]:
        """The tokens that the state has not read."""
        inputs: dict[str, Any] = dict(
            attention_mask=attention_mask, past_key_values=past_key_values, use_cache=use_cache)
        if logits_to_keep is not None:
            inputs["logits_to_keep"] = logits_to_keep
        given = 0 if inputs_embeds is None else inputs_embeds.shape[1]
        if past_key_values is None and inputs_embeds is not None:
            if input_ids.shape[1]:
                raise ValueError("give either inputs_embeds or input_ids to generate from")
            return dict(inputs, inputs_embeds=inputs_embeds)
        seen = 0 if past_key_values is None else past_key_values.get_seq_length()
        columns = given + input_ids.shape[1] if attention_mask is None else attention_mask.shape[1]
        return dict(inputs, input_ids=input_ids[:, input_ids.shape[1] - (columns - seen) :])
