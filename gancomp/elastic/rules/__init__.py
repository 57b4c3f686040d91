"""One rule for each function that a network may call: what it does to the layouts of its tensors."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from gancomp.elastic.rules import elementwise, layers, shapes
from gancomp.elastic.tape import Call

if TYPE_CHECKING:
    from gancomp.elastic.groups import Groups

#: Sets the layouts of a call's outputs, and joins or freezes those of its inputs.
Rule = Callable[["Groups", Call], None]

#: Functions that keep every dimension and do not mix channels of one input.
SAME = {
    *("relu", "relu6", "leaky_relu", "rrelu", "elu", "selu", "celu", "gelu", "silu", "mish", "hardswish"),
    *("hardtanh", "hardsigmoid", "softplus", "softsign", "tanh", "sigmoid", "logsigmoid", "tanhshrink", "threshold"),
    *("dropout", "dropout1d", "dropout2d", "alpha_dropout", "feature_dropout", "feature_alpha_dropout"),
    *("clamp", "clip", "exp", "log", "sqrt", "rsqrt", "abs", "neg", "negative", "square", "pow", "sin", "cos", "erf"),
    *("reciprocal", "sign", "round", "floor", "ceil", "nan_to_num", "identity", "detach", "clone", "contiguous"),
    *("to", "type", "float", "half", "double", "bfloat16", "type_as", "requires_grad", "zeros_like", "ones_like"),
    *("rand_like", "randn_like", "add", "sub", "subtract", "mul", "multiply", "div", "divide", "true_divide"),
    *("iadd", "isub", "imul", "itruediv", "radd", "rsub", "rmul", "rtruediv", "truediv", "maximum", "minimum"),
    *("lerp", "where", "addcmul", "addcdiv", "eq", "ne", "gt", "lt", "ge", "le", "softmax", "log_softmax", "copy"),
}
#: Functions that change rows and columns alone.
SPATIAL = {
    *("pad", "interpolate", "upsample", "upsample_nearest", "upsample_bilinear", "grid_sample", "max_pool2d"),
    *("boolean_dispatch", "fn", "avg_pool2d", "lp_pool2d", "adaptive_avg_pool2d", "adaptive_max_pool2d"),
    *("max_pool2d_with_indices", "adaptive_max_pool2d_with_indices"),
}
REDUCTIONS = {"mean", "sum", "amax", "amin", "var", "std", "norm", "max", "min", "logsumexp"}
RESHAPES = {"view", "reshape", "flatten", "unflatten", "squeeze", "unsqueeze", "view_as", "reshape_as"}

RULES: dict[str, Rule] = {
    **dict.fromkeys(SAME, elementwise.elementwise),
    **dict.fromkeys(SPATIAL, elementwise.spatial),
    **dict.fromkeys(REDUCTIONS, elementwise.reduction),
    **dict.fromkeys(("instance_norm", "batch_norm"), elementwise.norm),
    "group_norm": elementwise.group_norm,
    "layer_norm": elementwise.layer_norm,
    "prelu": elementwise.prelu,
    **dict.fromkeys(layers.CONVOLUTIONS | layers.TRANSPOSED, layers.convolution),
    "linear": layers.linear,
    **dict.fromkeys(("matmul", "bmm"), layers.matmul),
    **dict.fromkeys(("cat", "concat", "concatenate"), shapes.cat),
    "chunk": shapes.chunk,
    "pixel_shuffle": shapes.pixel_shuffle,
    "pixel_unshuffle": shapes.pixel_unshuffle,
    **dict.fromkeys(RESHAPES, shapes.reshape),
    "permute": shapes.permute,
    **dict.fromkeys(("transpose", "swapaxes", "swapdims"), shapes.transpose),
    **dict.fromkeys(("expand", "expand_as"), shapes.expand),
    "getitem": shapes.getitem,
}
