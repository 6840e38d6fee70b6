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
    """How to build the network: a registered name, or the user's own Python file."""

    name: str | None = Field(None, description="registered architecture, 'axialnet' say")
    python: str | None = Field(None, description="Python file in the model folder")
    callable: str | None = Field(None, description="class or function in that file")
    arguments: dict[str, Any] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _one_way_to_build(self) -> Architecture:
        if (self.name is None) == (self.python is None):
            raise ValueError("give either 'name' or 'python' with 'callable'")
        if (self.python is None) != (self.callable is None):
            raise ValueError("'python' and 'callable' go together")
        return self


class InputSpec(_Section):
    """What the network eats, and the road from a CT in HU to it.

    The steps run in this order: reorient, resample to `spacing_mm`, pad and crop to `shape`
    (or cut the window), clip to `window_hu`, scale, subtract, arrange into channels.
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
    fit: Literal["centre", "window"] = Field(
        "centre",
        description="'centre' pads and crops about the volume's middle; 'window' cuts a patch "
        "around a point the user chooses",
    )
    padding: float | Literal["minimum", "edge"] = Field(
        "minimum", description="HU outside the CT: its minimum, its border repeated, or a number"
    )
    window_hu: tuple[float, float] = (-1000.0, 800.0)
    scale_to: tuple[float, float] | None = Field(
        (0.0, 1.0), description="range the window is mapped to; null leaves HU"
    )
    subtract: float = 0.0
    layout: Literal["volume", "axial_triples"] = Field(
        "volume",
        description="'volume': [1, channels, d, h, w]; 'axial_triples': [1, d/3, 3, h, w], each "
        "three consecutive slices one image",
    )
    channels: int = Field(1, ge=1, description="copies of the volume along the channel axis")

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
        return self


class ModelSpec(_Section):
    """One trained classifier: architecture, weights, labels, input, target layer."""

    format: Literal[1] = 1
    name: str = Field(min_length=1)
    description: str = ""
    architecture: Architecture
    weights: str = Field(description=".safetensors, or .pt/.pth read weights-only")
    weights_sha256: str | None = Field(None, pattern=r"^[0-9a-f]{64}$")
    weights_key: str | None = Field(
        None, description="entry of a checkpoint dict that holds the state dict, 'params' say"
    )
    labels: tuple[str, ...] = Field(min_length=1, description="in the order of the outputs")
    activation: Literal["sigmoid", "softmax"] = Field(
        "sigmoid", description="turns logits into probabilities; never part of the network"
    )
    input: InputSpec
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
