"""What PyTorch's own operators cost: which multiply matrices, which do not, and which nobody knows.

Every function of PyTorch ends in operators, whatever it is called by: `torch.linalg.matmul`, `@`
and an LSTM's cell end in the same few products. They are heard here, below the functions. What is
neither counted nor in the table of those that multiply nothing is unknown, and is told as such.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import torch
from torch import Tensor

from backbones.nn.meta import DispatchMode

# They move numbers, compare them, add them up, normalise or pool: no multiply-accumulates by the
# convention of `CONVENTION`. Operators that PyTorch tags as pointwise, and views, need no line.
_MOVES = """
    _adaptive_avg_pool2d _adaptive_avg_pool3d _assert_async _assert_tensor_metadata _chunk_cat
    _conj _copy_from _cummax_helper _cummin_helper _embedding_bag _embedding_bag_forward_only
    _fused_sdp_choice _index_put_impl _local_scalar_dense _log_softmax _logcumsumexp
    _native_batch_norm_legit _native_batch_norm_legit_no_training _pin_memory _prelu_kernel
    _reshape_alias _safe_softmax _softmax _stack _to_copy _unique2 _unsafe_index _unsafe_view
    _upsample_nearest_exact1d _upsample_nearest_exact2d _upsample_nearest_exact3d
    _weight_norm_interface adaptive_max_pool1d adaptive_max_pool2d adaptive_max_pool3d
    alias_copy all amax amin aminmax any arange argmax argmin argsort as_strided as_strided_copy
    as_strided_scatter avg_pool1d avg_pool2d avg_pool3d bernoulli bincount bucketize cat
    channel_shuffle clone col2im complex concat constant_pad_nd contiguous copy count_nonzero
    cummax cummin cumprod cumsum dequantize detach_copy diag_embed diagonal_copy
    diagonal_scatter embedding embedding_bag embedding_renorm empty empty_like empty_strided
    equal expand_copy exponential eye fill flatten flip floor_divide fractional_max_pool2d full
    full_like gather glu hardswish histc im2col index index_copy index_fill index_put
    index_select is_same_size isin item kthvalue lift lift_fresh lift_fresh_copy
    linalg_vector_norm linspace log_sigmoid_forward log_softmax logcumsumexp logsumexp
    masked_fill masked_scatter masked_select max max_pool1d_with_indices max_pool2d_with_indices
    max_pool3d_with_indices max_unpool2d max_unpool3d mean median min mode multinomial nanmedian
    nansum narrow_copy native_batch_norm native_channel_shuffle native_dropout native_group_norm
    native_layer_norm native_norm new_empty new_full new_ones new_zeros nonzero norm normal
    one_hot ones ones_like permute_copy pixel_shuffle pixel_unshuffle polar prod put
    quantize_per_tensor rand rand_like randint randn randn_like randperm range reflection_pad1d
    reflection_pad2d reflection_pad3d renorm repeat repeat_interleave replication_pad1d
    replication_pad2d replication_pad3d reshape resize roll rot90 rrelu_with_noise rsub
    scalar_tensor scatter searchsorted select_backward select_copy select_scatter set slice_copy
    slice_scatter softmax sort split split_copy split_with_sizes split_with_sizes_copy
    squeeze_copy stack std std_mean sum sym_size sym_stride t_copy take topk trace
    transpose_copy tril tril_indices triu triu_indices unbind_copy unfold_copy uniform
    unique_consecutive unique_dim unsafe_split unsafe_split_with_sizes unsqueeze_copy
    upsample_nearest1d upsample_nearest2d upsample_nearest3d var var_mean view_copy where zero
    zeros zeros_like
"""
# Norms in an evaluation, and copies: each unit is made of the unit in the same place.
_KEEPS = """
    _native_batch_norm_legit_no_training _to_copy batch_norm clone copy embedding fill lift_fresh
    native_batch_norm native_dropout native_group_norm native_layer_norm where zeros_like ones_like
    empty_like full_like rand_like randn_like hardswish log_sigmoid_forward floor_divide zero rsub
    _prelu_kernel lift rrelu_with_noise detach alias
"""
_FREE, _IN_PLACE = frozenset(_MOVES.split()), frozenset(_KEEPS.split())


@dataclass(slots=True)
class OperatorCount:
    """What ran below one function.

    Args:
        macs: multiply-accumulates of the products that are known.
        unknown: whether something ran whose cost is not known.
        pointwise: whether every unit of every result is made of the units in its place.
        looks: whether Python was given a number out of a tensor.
    """

    macs: int = 0
    unknown: bool = False
    pointwise: bool = True
    looks: bool = False

    def add(self, operator: Any, args: Any, kwargs: Mapping[str, Any], output: Any) -> None:
        """One more operator, by its arguments and what it gave."""
        if not any(isinstance(value, Tensor | list | tuple) for value in args) and not kwargs:
            return  # it makes a tensor out of nothing
        macs = _macs(operator, args, kwargs, output)
        self.macs += macs or 0
        self.unknown |= macs is None
        self.pointwise &= _is_pointwise(operator)
        self.looks |= torch.Tag.data_dependent_output in operator.tags


class Below(DispatchMode):  # type: ignore[no-untyped-call]
    """Hears operators: counted for the function that runs, or told to `stray` where none does.

    What TorchScript functions, and compiled extensions in no function of PyTorch, do is heard, too.
    """

    def __init__(self, stray: Callable[[Any, Any, Any], Any]) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._stray = stray
        self._tally: OperatorCount | None = None

    def tallied(
        self, compute: Callable[..., Any], func: Any, args: Any, kwargs: Any
    ) -> tuple[Any, OperatorCount]:
        """What a function gives, and what ran meanwhile."""
        before, tally = self._tally, OperatorCount()
        self._tally = tally
        try:
            return compute(func, args, kwargs), tally
        finally:
            self._tally = before

    def __torch_dispatch__(
        self,
        func: Any,
        types: Sequence[type],
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        given = kwargs or {}
        with torch._C.DisableTorchFunction():
            if self._tally is None:
                return self._stray(func, args, given)
            output = func(*args, **given)
            self._tally.add(func, args, given, output)
        return output


def name_of(operator: Any) -> str:
    """The operator's name, without its library and its overload."""
    return str(operator._schema.name).rpartition("::")[2]


def _macs(operator: Any, args: Any, kwargs: Mapping[str, Any], output: Any) -> int | None:
    """Multiply-accumulates of one call; None where nobody knows."""
    if _is_free(operator):
        return 0
    from torch.utils.flop_counter import flop_registry, sdpa_flop_count

    attention: Any = sdpa_flop_count

    name = name_of(operator)
    if name.startswith("_scaled_dot_product") and len(args) >= 3:
        return int(attention(*(tensor.shape for tensor in args[:3]))) // 2
    if name == "mkldnn_rnn_layer":  # one direction of one layer, over all steps
        x, to_hidden, hidden = args[:3]
        return int(x.numel() // x.shape[-1] * (to_hidden.numel() + hidden.numel()))
    if name in ("dot", "vdot", "mv"):  # which PyTorch's counter leaves out
        return int(args[0].numel())
    if name in ("addmv",):
        return int(args[1].numel())
    count: Any = flop_registry.get(operator._overloadpacket)
    return None if count is None else int(count(*args, **kwargs, out_val=output)) // 2


@cache
def _is_free(operator: Any) -> bool:
    name = name_of(operator)
    return (
        torch.Tag.pointwise in operator.tags
        or operator.is_view
        or (str(operator.namespace) == "aten" and name.removesuffix("_") in _FREE)
    )


@cache
def _is_pointwise(operator: Any) -> bool:
    name = name_of(operator).removesuffix("_")
    return torch.Tag.pointwise in operator.tags or (
        str(operator.namespace) in ("aten", "prim") and name in _IN_PLACE
    )
