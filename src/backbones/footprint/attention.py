"""Attention that holds what it holds on the CPU.

Without numbers, PyTorch takes attention apart into products and a softmax, and keeps the weights of
every pair of tokens. On the CPU one kernel goes through the pairs block by block, and keeps one
number for each token and head, wherever the call suits it. There, `MultiheadAttention` has a way of
its own for evaluations, which does hold the weights of every pair.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from inspect import signature
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

_BLOCKWISE = 1  # flash attention, in the numbering of torch.nn.attention.SDPBackend
_on_cpu: Any = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu
_chosen: Callable[..., int] = torch._fused_sdp_choice
_asked = signature(nn.MultiheadAttention.forward)


@contextmanager
def attention_as_on_cpu() -> Iterator[None]:
    """Inside, attention over tensors of the meta device takes the kernel that the CPU would take.

    Heard are calls of `torch.nn.functional.scaled_dot_product_attention` by this name, and layers
    of the class `torch.nn.MultiheadAttention`.
    """
    usual: Any = F.scaled_dot_product_attention
    layers: Any = nn.MultiheadAttention
    of_layer = layers.forward

    @wraps(of_layer)
    def forward(layer: nn.MultiheadAttention, *args: Any, **kwargs: Any) -> Any:
        asked = _asked.bind(layer, *args, **kwargs).arguments
        if _takes_its_own_way(**asked):
            return _own_way(layer, asked["query"], asked.get("need_weights", True))
        return of_layer(layer, *args, **kwargs)

    F.scaled_dot_product_attention = _attention(usual)
    layers.forward = forward
    try:
        yield
    finally:
        F.scaled_dot_product_attention = usual
        layers.forward = of_layer


def _takes_its_own_way(
    self: nn.MultiheadAttention,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    average_attn_weights: bool = True,
    need_weights: bool = True,
    is_causal: bool = False,
    **masks: Tensor | None,
) -> bool:
    """Whether the CPU would; the layer's documentation lists when."""
    return (
        not self.training
        and not torch.is_grad_enabled()
        and not torch.is_autocast_enabled("cpu")
        and self.batch_first
        and self.in_proj_bias is not None
        and self.bias_k is None
        and not self.add_zero_attn
        and self.num_heads % 2 == 0
        and query is key is value
        and query.is_meta
        and query.dim() == 3
        and average_attn_weights
        and not is_causal
        and all(mask is None for mask in masks.values())
    )


def _own_way(
    layer: nn.MultiheadAttention, x: Tensor, need_weights: bool
) -> tuple[Tensor, Tensor | None]:
    """What the layer takes and gives back in an evaluation; what it computes is left out."""
    batch, count, width = x.shape
    packed = F.linear(x, layer.in_proj_weight)
    parts = packed.new_empty((3, batch * layer.num_heads, count, width // layer.num_heads))
    del packed
    pairs: Tensor | None = torch.bmm(parts[0], parts[1].transpose(1, 2))
    if not need_weights:
        pairs = None
    # what was seen lies where the queries lay, until it is brought into the order of the tokens
    seen = parts.new_empty((batch, count, width))
    answer = F.linear(seen, layer.out_proj.weight, layer.out_proj.bias)
    if pairs is None:
        return answer, None
    return answer, pairs.view(batch, layer.num_heads, count, count).sum(1) / layer.num_heads


def _attention(usual: Callable[..., Tensor]) -> Callable[..., Tensor]:
    def attention(
        query: Tensor,
        key: Tensor,
        value: Tensor,
        attn_mask: Tensor | None = None,
        dropout_p: float = 0.0,
        is_causal: bool = False,
        scale: float | None = None,
        enable_gqa: bool = False,
    ) -> Tensor:
        how: dict[str, Any] = {"scale": scale, "enable_gqa": enable_gqa}
        given = (query, key, value, attn_mask, dropout_p, is_causal)
        if not query.is_meta or not _is_blockwise(*given, **how):
            return usual(*given, **how)
        if attn_mask is not None and attn_mask.dtype == torch.bool:
            attn_mask = attn_mask.to(query.dtype)
        answer: Tensor = _on_cpu(
            query, key, value, dropout_p, is_causal, attn_mask=attn_mask, scale=scale
        )[0]
        return answer

    return attention


def _is_blockwise(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    mask: Tensor | None,
    dropout_p: float,
    is_causal: bool,
    **how: Any,
) -> bool:
    """Whether the CPU would go block by block; PyTorch itself says so."""
    with torch._C._DisableTorchDispatch(), torch._C.DisableTorchFunction():
        one, *others = (_one_image(tensor) for tensor in (query, key, value))
        seen = None if mask is None else _one_image(mask)
        return _chosen(one, *others, seen, dropout_p, is_causal, **how) == _BLOCKWISE


def _one_image(tensor: Tensor) -> Tensor:
    """Memory of the CPU that nobody fills, laid out like the first of a batch."""
    first = tensor[:1] if tensor.dim() == 4 else tensor
    return torch.empty_strided(
        first.shape, first.stride(), dtype=first.dtype, device="cpu"
    ).requires_grad_(tensor.requires_grad)
