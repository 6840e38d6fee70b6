"""What torch's operations are, by the names of their autograd nodes: affine, or at one place."""

from __future__ import annotations

#: Affine in whatever they read.
AFFINE = frozenset(
    [
        "AccumulateGrad",
        "AdaptiveAvgPool1D",
        "AdaptiveAvgPool2D",
        "AdaptiveAvgPool3D",
        "Add",
        "Alias",
        "AsStrided",
        "AvgPool1D",
        "AvgPool2D",
        "AvgPool3D",
        "Cat",
        "Clone",
        "ConstantPadNd",
        "Copy",
        "Expand",
        "Flip",
        "Index",
        "IndexSelect",
        "Mean",
        "Neg",
        "Permute",
        "ReflectionPad1D",
        "ReflectionPad2D",
        "ReflectionPad3D",
        "Repeat",
        "ReplicationPad1D",
        "ReplicationPad2D",
        "ReplicationPad3D",
        "ReshapeAlias",
        "Select",
        "Slice",
        "Split",
        "SplitWithSizes",
        "Squeeze",
        "Stack",
        "Sub",
        "Sum",
        "T",
        "ToCopy",
        "Transpose",
        "Unbind",
        "UnsafeSplit",
        "UnsafeView",
        "Unsqueeze",
        "UpsampleBilinear2D",
        "UpsampleNearest2D",
        "UpsampleNearest3D",
        "UpsampleTrilinear3D",
        "View",
    ]
)
#: Affine as long as only one factor depends on the activation; the rest are constants.
BILINEAR = frozenset(
    ["Addmm", "Addmv", "Baddbmm", "Bmm", "Convolution", "Dot", "Linear", "Mm", "Mul", "Mv"]
)
#: Affine in the numerator.
QUOTIENT = frozenset({"Div"})
#: Affine in eval mode, where the statistics are constants.
EVAL_NORM = frozenset(["NativeBatchNorm", "CudnnBatchNorm", "MiopenBatchNorm", "BatchNorm"])

#: What users call them.
PLAIN_WORDS = {
    "Relu": "ReLU",
    "Sigmoid": "sigmoid",
    "Softmax": "softmax",
    "LogSoftmax": "log-softmax",
    "Max": "maximum",
    "Amax": "maximum",
    "MaxPool2DWithIndices": "max pooling",
    "MaxPool3DWithIndices": "max pooling",
    "AdaptiveMaxPool2D": "max pooling",
    "AdaptiveMaxPool3D": "max pooling",
    "Gelu": "GELU",
    "Silu": "SiLU",
    "Tanh": "tanh",
    "LeakyRelu": "leaky ReLU",
    "NativeLayerNorm": "layer norm",
    "NativeGroupNorm": "group norm",
    "MkldnnRnnLayer": "a recurrent layer",
    "CudnnRnn": "a recurrent layer",
    "ScaledDotProductFlashAttentionForCpu": "attention",
    "ScaledDotProductFlashAttention": "attention",
    "ScaledDotProductEfficientAttention": "attention",
}


#: Leave each place where it is.
POINTWISE = frozenset(
    [
        "Add",
        "Alias",
        "Cat",
        "Celu",
        "Clamp",
        "Clone",
        "Convert",
        "Div",
        "Elu",
        "Exp",
        "Gelu",
        "Hardsigmoid",
        "Hardswish",
        "Hardtanh",
        "LeakyRelu",
        "Mul",
        "NativeBatchNorm",
        "NativeDropout",
        "NativeGroupNorm",
        "Neg",
        "Pow",
        "Prelu",
        "PreluKernel",
        "Relu",
        "Sigmoid",
        "Silu",
        "Softplus",
        "Split",
        "SplitWithSizes",
        "Chunk",
        "Sqrt",
        "Sub",
        "Tanh",
        "Threshold",
        "ToCopy",
        "CudnnBatchNorm",
        "Mish",
    ]
)
#: Put tensors side by side along an axis, or take them apart.
JOINS = frozenset({"Cat", "Split", "SplitWithSizes"})
POOLS = frozenset(
    [
        "AvgPool2D",
        "AvgPool3D",
        "MaxPool2DWithIndices",
        "MaxPool3DWithIndices",
        "MaxPool2D",
        "MaxPool3D",
    ]
)
