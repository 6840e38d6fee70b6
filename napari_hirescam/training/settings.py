"""What a training is told: one YAML file, validated field by field."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    ValidationInfo,
    field_validator,
    model_validator,
)

from napari_hirescam.models.spec import Architecture, InputSpec, OutputSpec


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class ModelSettings(_Section):
    """The network to train, and what it eats."""

    architecture: Architecture | None = Field(
        None, description="a registered network and its arguments; not beside 'start_from'"
    )
    start_from: str | None = Field(
        None, description="model folder to go on from: its network, weights, input, target layer"
    )
    trunk_weights: str | None = Field(
        None,
        description="weights-only file for the layers under 'trunk', a pretrained ResNet-18's say",
    )
    trunk: str = Field("features", description="dotted name of the module 'trunk_weights' go into")
    input: InputSpec | None = Field(
        None, description="window, spacing, shape; or the name of a preset, 'axialnet' say"
    )
    output: OutputSpec = Field(
        default_factory=OutputSpec, description="where the logits are in what the network returns"
    )
    target_layer: str | None = Field(
        None, description="the layer the mask loss acts on; null takes the network's usual one"
    )
    labels: tuple[str, ...] | str | None = Field(
        None, description="outputs in order, or a shipped list's name; null takes the table's"
    )
    description: str = Field("", description="goes into the model folder")

    @field_validator("input", mode="before")
    @classmethod
    def _preset(cls, value: Any) -> Any:
        from napari_hirescam.models.spec import INPUT_PRESETS

        if not isinstance(value, str):
            return value
        if value not in INPUT_PRESETS:
            raise ValueError(f"no preset {value!r}; there are: {', '.join(INPUT_PRESETS)}")
        return INPUT_PRESETS[value]

    @field_validator("labels")
    @classmethod
    def _each_label_once(cls, value: tuple[str, ...] | str | None) -> tuple[str, ...] | str | None:
        if isinstance(value, tuple):
            if not value:
                raise ValueError("it lists none; null takes the table's")
            twice = sorted({label for label in value if value.count(label) > 1})
            if twice:
                raise ValueError(f"listed twice: {', '.join(twice)}")
        return value

    @model_validator(mode="after")
    def _one_network(self) -> ModelSettings:
        if (self.architecture is None) == (self.start_from is None):
            raise ValueError("give 'architecture' or 'start_from', and not both")
        if self.architecture is not None:
            if self.architecture.name is None:
                raise ValueError("only a registered architecture ('name') can be trained")
            if self.input is None:
                raise ValueError("'input' is needed beside 'architecture'")
        elif self.input is not None or "output" in self.model_fields_set:
            raise ValueError("'input' and 'output' come from the model in 'start_from'")
        if self.start_from is not None and self.labels is not None:
            raise ValueError("'labels' come from the model in 'start_from'")
        return self


class PhantomSettings(_Section):
    """A made-up cohort; see :func:`~napari_hirescam.cases.phantom_table`."""

    train: int = Field(160, ge=1, description="number of phantoms")
    valid: int = Field(40, ge=1, description="number of phantoms")
    test: int = Field(0, ge=0, description="number of phantoms")
    seed: int = Field(0, ge=0, description="which patients")
    spacing_mm: tuple[float, float, float] = Field(
        (5.0, 4.0, 4.0), description="along slices, rows, columns"
    )
    labels: tuple[str, ...] | None = Field(None, description="null takes all findings there are")
    prevalence: float = Field(0.35, gt=0, lt=1, description="share of cases with a label")


class TableSettings(_Section):
    """A table of files; see :func:`~napari_hirescam.cases.read_case_table`.

    Its path alone will do.
    """

    file: str = Field(description="CSV or Parquet; paths in it are relative to it")
    only_present: bool = Field(False, description="leave cases out whose CT is missing")
    allow: tuple[str, ...] = Field((), description="repairs of scans that are agreed to")


class RadChestCTSettings(_Section):
    """RAD-ChestCT as published; see :func:`~napari_hirescam.cases.read_rad_chestct`.

    Its folder alone will do.
    """

    folder: str = Field(description="holds the scans")
    labels: str | tuple[str, ...] = Field(
        "radchest-80", description="a shipped list's name, or labels"
    )
    tables: str | None = Field(None, description="folder of its CSV files; null: beside the scans")
    only_present: bool = Field(False, description="leave accessions out that have no scan")
    at_most: dict[Literal["train", "valid", "test"], int] | None = Field(
        None, description="split -> how many of its first cases"
    )
    sides: Literal["reported", "reference"] = Field(
        "reported", description="lung findings lie where the report says, or as in the paper's code"
    )


class SplitSettings(_Section):
    """Shares of the patients, for a table without splits."""

    train: float = Field(gt=0, le=1, description="share of the patients")
    valid: float = Field(gt=0, le=1, description="share of the patients")
    test: float = Field(0.0, ge=0, lt=1, description="share of the patients")
    seed: int = Field(0, ge=0, description="of the draw; not the training's, which may vary")


class ReviewedSettings(_Section):
    """What a review of masks decided; see :func:`~napari_hirescam.review.reviewed_cases`.

    Its file alone will do.
    """

    files: tuple[str, ...] = Field(
        min_length=1, description="reviews; those that settle others' disagreements among them"
    )
    rule: str = Field(
        "strictest", description="whose decision counts: 'strictest', 'majority', or a reader"
    )
    unreviewed: Literal["keep", "leave"] = Field(
        "keep", description="cases with a mask that nobody decided on stay, or leave"
    )

    @field_validator("files", mode="before")
    @classmethod
    def _one_alone(cls, value: Any) -> Any:
        return (value,) if isinstance(value, str) else value


class DataSettings(_Section):
    """Where the cases come from: one of 'table', 'rad_chestct', 'phantoms'.

    All three may be left out where :func:`training.train` is handed a table.
    """

    table: TableSettings | None = None
    rad_chestct: RadChestCTSettings | None = None
    phantoms: PhantomSettings | None = None
    split: SplitSettings | None = None
    reviewed: ReviewedSettings | None = None
    organs: Literal["masks", "partition"] = Field(
        "masks", description="the table's masks, or regions found in each CT, once, and kept"
    )
    rough_regions: bool = Field(
        False, description="take PARTITION's rough regions where it does not find the organs"
    )
    allowed: str | None = Field(None, description="CSV of labels and the organs they may lie in")
    allowed_organs: dict[str, tuple[str, ...]] = Field(
        default_factory=dict, description="the same, written here"
    )
    constant_labels: Literal["refuse", "keep"] = Field(
        "refuse", description="labels that no training case has, or every one"
    )
    workers: int = Field(0, ge=0, description="processes that read ahead; 0 reads in between")
    cache_ram_gb: float = Field(
        2.0, ge=0, description="prepared CTs held in memory, by all processes of a machine"
    )
    cache_folder: str | None = Field(None, description="prepared CTs kept on disk, for next time")
    cache_disk_gb: float = Field(50.0, ge=0, description="most that the folder may hold")
    read_all_first: bool = Field(
        False, description="read every CT and mask before the first step, not only the headers"
    )

    @field_validator("reviewed", mode="before")
    @classmethod
    def _files_alone(cls, value: Any) -> Any:
        return {"files": value} if isinstance(value, (str, list, tuple)) else value

    @field_validator("table", "rad_chestct", mode="before")
    @classmethod
    def _path_alone(cls, value: Any, info: ValidationInfo) -> Any:
        field = "file" if info.field_name == "table" else "folder"
        return {field: value} if isinstance(value, str) else value

    @model_validator(mode="after")
    def _at_most_one_source(self) -> DataSettings:
        given = [n for n in ("table", "rad_chestct", "phantoms") if getattr(self, n) is not None]
        if len(given) > 1:
            raise ValueError(f"give one of {' and '.join(map(repr, given))}")
        return self


class LossSettings(_Section):
    """Binary cross-entropy + `mask_weight` x mask loss (paper sections 3 and 4)."""

    mask_weight: float = Field(1 / 3, ge=0, description="lambda; 0 leaves the mask loss out")
    kind: Literal["softplus", "l2"] = Field(
        "softplus", description="what a cell outside costs; 'l2': the norm of all of them"
    )
    attention: Literal["hirescam", "gradcam"] = Field(
        "hirescam", description="whose maps; 'gradcam' is for comparison"
    )
    scale: Literal["logit", "per_slice", "per_cell"] = Field(
        "per_slice",
        description="'logit': cells sum to the logit; 'per_slice': that x number of slices, as in "
        "the paper; 'per_cell': x number of cells, for networks that end in a global mean",
    )
    regions: Literal["organs", "lesions"] = Field(
        "organs", description="where a present label may look: its organs, or the finding itself"
    )
    placement: Literal["receptive_field", "stretch"] = Field(
        "receptive_field", description="where a cell lies; 'stretch' is the paper's"
    )
    rule: Literal["half", "touch", "centre", "nearest", "area", "trilinear"] = Field(
        "half", description="when a cell counts as inside; the last three are for 'stretch'"
    )
    dilate: bool = Field(False, description="widen regions by a cell; for 'stretch'")
    class_weights: bool = Field(
        False, description="weigh present labels by absent / present in training, within 1 to 10"
    )

    @model_validator(mode="after")
    def _rule_suits_placement(self) -> LossSettings:
        papers = self.rule in ("nearest", "area", "trilinear")
        if papers and self.placement != "stretch":
            raise ValueError(f"rule {self.rule!r} needs placement 'stretch'")
        if self.dilate and not papers:
            raise ValueError("'dilate' goes with rule 'nearest', 'area' or 'trilinear'")
        return self


class OptimizerSettings(_Section):
    """How weights move."""

    name: Literal["sgd", "adam", "adamw"] = Field("adamw", description="torch's")
    learning_rate: float = Field(1e-3, gt=0, lt=1e30, description="the highest of the schedule")
    momentum: float = Field(0.9, ge=0, lt=1, description="of sgd")
    weight_decay: float = Field(
        1e-2, ge=0, description="0.01 suits adamw; the paper's sgd has 1e-7"
    )
    schedule: Literal["constant", "cosine"] = Field(
        "cosine", description="the rate stays, or falls to 0 over all epochs"
    )
    warmup_share: float = Field(0.05, ge=0, lt=1, description="of all steps, before the cosine")
    batch_size: int = Field(1, ge=1, description="CTs of one pass, in each process")
    accumulate: int = Field(1, ge=1, description="passes of one step")
    gradient_clip: float | None = Field(None, gt=0, description="largest norm of the gradient")


class RunSettings(_Section):
    """How long, where, and what is kept."""

    epochs: int = Field(100, ge=1, description="at most")
    patience: int | None = Field(
        15, ge=1, description="epochs without a lower validation loss before it stops; null: never"
    )
    flips: bool = Field(True, description="random flips and quarter turns, as in the paper")
    checkpoint_every_n_steps: int | None = Field(
        None, ge=1, description="besides the end of each epoch"
    )
    tensorboard: bool = Field(False, description="TensorBoard files beside the CSV log")
    accelerator: Literal["auto", "cpu", "gpu", "cuda", "mps", "tpu"] = Field(
        "auto", description="'auto': the fastest there is"
    )
    devices: int | tuple[int, ...] | Literal["auto"] = Field(
        1, description="how many, or which, of each machine"
    )
    num_nodes: int = Field(1, ge=1, description="machines")
    strategy: str = Field("auto", description="Lightning's: 'ddp', 'fsdp', ...")
    precision: Literal["32", "bf16-mixed", "16-mixed"] = Field(
        "32", description="of the numbers the network computes with"
    )
    deterministic: bool = Field(
        True, description="take torch's operations that do not vary, where there are any"
    )
    threads: int | None = Field(
        None, ge=1, le=4096, description="of torch on the CPU; null: torch's own"
    )


class TrainingSettings(_Section):
    """One training. The fields of 'preset' are filled in where the file leaves them out."""

    preset: Literal["paper"] | None = Field(None, description="settings to begin with")
    name: str = Field("model", min_length=1, description="of the model")
    seed: int = Field(0, ge=0, lt=2**32, description="of first weights, order, flips and dropout")
    model: ModelSettings
    data: DataSettings = Field(default_factory=DataSettings)
    loss: LossSettings = Field(default_factory=LossSettings)
    optimizer: OptimizerSettings = Field(default_factory=OptimizerSettings)
    run: RunSettings = Field(default_factory=RunSettings)

    @model_validator(mode="before")
    @classmethod
    def _fill_from_preset(cls, content: Any) -> Any:
        if not isinstance(content, Mapping):
            return content
        preset = PRESETS.get(str(content.get("preset")), {})
        filled = dict(content)
        for section, fields in preset.items():
            given = filled.get(section, {})
            if isinstance(given, Mapping):
                filled[section] = {**fields, **given}
        return filled


#: Settings by name. "paper": arXiv 2011.08891 and 2111.12215 (paper sections 3 to 3.2).
PRESETS: dict[str, dict[str, dict[str, Any]]] = {
    "paper": {
        "loss": {
            "mask_weight": 1 / 3,
            "kind": "softplus",
            "attention": "hirescam",
            "scale": "per_slice",
            "regions": "organs",
            "placement": "stretch",
            "rule": "nearest",
            "dilate": False,
            "class_weights": False,
        },
        "optimizer": {
            "name": "sgd",
            "learning_rate": 1e-3,
            "momentum": 0.99,
            "weight_decay": 1e-7,
            "schedule": "constant",
            "batch_size": 1,
            "accumulate": 1,
            "gradient_clip": None,
        },
        "run": {"epochs": 100, "patience": 15, "flips": True, "precision": "32"},
    }
}
