"""What a model file says about itself, validated field by field.

``model.yaml`` is read into a :class:`ModelSpec`; a wrong value fails with the field's name.
"""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

_PATIENT_AXES = {"I": 0, "S": 0, "P": 1, "A": 1, "L": 2, "R": 2}


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class Architecture(_Section):
    """How to build the network: a registered name, a program, or the user's own Python file."""

    name: str | None = Field(
        None, description="registered architecture, 'axialnet' or 'monai.DenseNet121' say"
    )
    python: str | None = Field(None, description="Python file in the model folder")
    callable: str | None = Field(None, description="class or function in that file")
    program: str | None = Field(
        None, description="network and weights in one: a .pt2 or TorchScript file in the folder"
    )
    arguments: dict[str, Any] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _one_way_to_build(self) -> Architecture:
        if sum(way is not None for way in (self.name, self.python, self.program)) != 1:
            raise ValueError("give one of 'name', 'program', or 'python' with 'callable'")
        if (self.python is None) != (self.callable is None):
            raise ValueError("'python' and 'callable' go together")
        return self


class InputSpec(_Section):
    """What the network eats, and the road from a CT in HU to it.

    The steps run in this order: reorient, resample to `spacing_mm`, fit to `shape`, clip to
    `window_hu`, scale, subtract, arrange into channels, normalise each channel.
    """

    orientation: str = Field(
        "IPL", description="patient directions the tensor's three axes grow towards"
    )
    spacing_mm: tuple[float, float, float] | None = Field(
        None, description="tensor's voxel spacing; null keeps the CT's own"
    )
    shape: tuple[int | None, int, int] = Field(
        description="voxels along the tensor's axes before slices are grouped; "
        "null as the first takes any number of slices"
    )
    fit: Literal["centre", "window", "resize"] = Field(
        "centre",
        description="'centre' pads and crops about the volume's middle; 'window' cuts a patch "
        "around a point the user chooses; 'resize' resamples the whole extent to 'shape'",
    )
    padding: float | Literal["minimum", "edge"] = Field(
        "minimum", description="HU outside the CT: its minimum, its border repeated, or a number"
    )
    window_hu: tuple[float, float] = (-1000.0, 800.0)
    scale_to: tuple[float, float] | None = Field(
        (0.0, 1.0), description="range the window is mapped to; null leaves HU"
    )
    subtract: float = 0.0
    layout: Literal["volume", "axial_triples", "slice", "slices"] = Field(
        "volume",
        description="'volume': [1, channels, d, h, w]; 'axial_triples': [1, d/3, 3, h, w], each "
        "three consecutive slices one image; for 2-D networks 'slice': [1, channels, h, w], the "
        "one slice through a point the user chooses, and 'slices': [d, channels, h, w], every "
        "slice an item of the batch",
    )
    channels: int = Field(1, ge=1, description="copies of the volume along the channel axis")
    channel_mean: tuple[float, ...] | None = Field(
        None, description="subtracted from each channel last, after 'scale_to' and 'subtract'"
    )
    channel_std: tuple[float, ...] | None = Field(
        None, description="each channel is divided by it after 'channel_mean'"
    )

    @field_validator("orientation")
    @classmethod
    def _names_each_axis_once(cls, value: str) -> str:
        value = value.upper()
        if sorted(_PATIENT_AXES.get(letter, -1) for letter in value) != [0, 1, 2]:
            raise ValueError("must name each patient axis once, 'IPL' or 'SPL' say")
        return value

    @field_validator("window_hu", "scale_to")
    @classmethod
    def _grows(cls, value: tuple[float, float] | None) -> tuple[float, float] | None:
        if value is not None and not value[0] < value[1]:
            raise ValueError("the lower bound must lie below the upper one")
        return value

    @field_validator("spacing_mm")
    @classmethod
    def _positive(
        cls, value: tuple[float, float, float] | None
    ) -> tuple[float, float, float] | None:
        if value is not None and min(value) <= 0:
            raise ValueError("must be positive")
        return value

    @model_validator(mode="after")
    def _sizes_fit_together(self) -> InputSpec:
        if any(n is not None and n < 1 for n in self.shape):
            raise ValueError("'shape' must be positive")
        if self.shape[0] is None and self.fit == "window":
            raise ValueError("a window needs a fixed number of slices in 'shape'")
        if self.layout == "axial_triples":
            if self.shape[0] is not None and self.shape[0] % 3:
                raise ValueError("'axial_triples' needs a multiple of 3 slices in 'shape'")
            if self.channels != 1:
                raise ValueError("'axial_triples' makes its own channels; leave 'channels' at 1")
        if self.layout == "slice" and self.shape[0] != 1:
            raise ValueError("'slice' is one slice: the first number of 'shape' must be 1")
        if self.layout == "slices" and self.fit == "window":
            raise ValueError("'slices' shows every slice; a window is for 'volume' and 'slice'")
        width = 3 if self.layout == "axial_triples" else self.channels
        for name in ("channel_mean", "channel_std"):
            values = getattr(self, name)
            if values is not None and len(values) != width:
                raise ValueError(f"{name!r} needs one number for each of {width} channels")
        if self.channel_std is not None and min(self.channel_std) <= 0:
            raise ValueError("'channel_std' must be positive")
        return self

    @property
    def needs_point(self) -> bool:
        """True if the network sees a part of the CT, and somebody must say which."""
        return self.fit == "window" or self.layout == "slice"


class OutputSpec(_Section):
    """Where the logits are in what the network returns; the defaults suit one [1, K] tensor."""

    entry: str | int | None = Field(
        None, description="key or position of the logits in a dict or tuple of outputs"
    )
    layer: str | None = Field(
        None,
        description="dotted name of the module whose output is the logits, for a network that "
        "applies its sigmoid or softmax itself",
    )
    over_slices: Literal["mean", "max"] | None = Field(
        None, description="how the scores of the slices of layout 'slices' become those of the CT"
    )

    @model_validator(mode="after")
    def _one_place(self) -> OutputSpec:
        if self.entry is not None and self.layer is not None:
            raise ValueError("give 'entry' or 'layer', not both")
        return self


class ModelSpec(_Section):
    """One trained classifier: architecture, weights, labels, input, target layer."""

    format: Literal[1] = 1
    name: str = Field(min_length=1)
    description: str = ""
    architecture: Architecture
    weights: str | None = Field(
        None, description=".safetensors, or .pt/.pth read weights-only; none beside a program"
    )
    weights_sha256: str | None = Field(None, pattern=r"^[0-9a-f]{64}$")
    weights_key: str | None = Field(
        None, description="entry of a checkpoint dict that holds the state dict, 'params' say"
    )
    labels: tuple[str, ...] = Field(min_length=1, description="in the order of the outputs")
    activation: Literal["sigmoid", "softmax"] = Field(
        "sigmoid", description="turns logits into probabilities; never part of the network"
    )
    input: InputSpec
    output: OutputSpec = Field(default_factory=OutputSpec)
    target_layer: str = Field(description="dotted module name whose output is explained")
    slices_per_chunk: int = Field(
        8, ge=1, description="slices a 2-D trunk takes at once; bounds the memory"
    )
    organs: dict[str, tuple[str, ...]] = Field(
        default_factory=dict, description="label -> organs it can lie in"
    )
    metrics: dict[str, Any] = Field(default_factory=dict, description="held-out results")
    provenance: dict[str, Any] = Field(default_factory=dict)

    @field_validator("labels")
    @classmethod
    def _labels_differ(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        twice = sorted({name for name in value if value.count(name) > 1})
        if twice:
            raise ValueError(f"listed twice: {', '.join(twice)}")
        return value

    @model_validator(mode="after")
    def _parts_fit_together(self) -> ModelSpec:
        if (self.weights is None) != (self.architecture.program is not None):
            raise ValueError("'weights' is needed, except beside 'architecture.program'")
        if (self.input.layout == "slices") != (self.output.over_slices is not None):
            raise ValueError("layout 'slices' and 'output.over_slices' go together")
        return self

    @model_validator(mode="after")
    def _organs_are_of_labels(self) -> ModelSpec:
        unknown = sorted(set(self.organs) - set(self.labels))
        if unknown:
            raise ValueError(f"'organs' names labels the model has not: {', '.join(unknown)}")
        return self


#: The two published ways of feeding a chest CT at 0.8 mm to the networks of the paper family.
INPUT_PRESETS: dict[str, InputSpec] = {
    # CT-Net paper (arXiv 2002.04752) and the author's HiResCAM demo.
    "ct-net": InputSpec(
        spacing_mm=(0.8, 0.8, 0.8),
        shape=(402, 420, 420),
        window_hu=(-1000.0, 200.0),
        subtract=0.449,
        layout="axial_triples",
    ),
    # AxialNet and HiResCAM papers (arXiv 2111.12215, 2011.08891).
    "axialnet": InputSpec(
        spacing_mm=(0.8, 0.8, 0.8),
        shape=(405, 420, 420),
        window_hu=(-1000.0, 800.0),
        subtract=0.449,
        layout="axial_triples",
    ),
}
