"""The configuration of a pretraining: one frozen dataclass, its presets, and TOML in and out.

Precedence: flag, then ``--config`` file, then preset, then the defaults below, which are the paper's.
"""

from __future__ import annotations

import json
import math
import tomllib
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Annotated, Any, get_type_hints

from skelkit.augment import Compose, Crop, JointJitter, OneOf, Resample, Rotation, Shear, Transform
from skelkit.datasets import Protocol
from skelkit.errors import InputError, SkelkitError, did_you_mean, no_such

__all__ = ["PRESETS", "PretrainConfig", "parse_setting", "read_toml", "resolve"]

_REPRESENTATIONS = ("seq", "graph", "image")

_CHOICES: Mapping[str, tuple[str, ...]] = {
    "optimizer": ("sgd", "adamw"),
    "data": ("auto", "resident", "streamed"),
    "precision": ("auto", "float32", "bfloat16"),
    "compile": ("auto", "on", "off"),
}

# From and to; the augmentations and the encoders check the rest.
_RANGES: Mapping[str, tuple[float, float]] = {
    **dict.fromkeys(("frames", "gru_hidden", "gru_layers", "embedding"), (1, math.inf)),
    **dict.fromkeys(("batch_size", "epochs", "checkpoint_every"), (1, math.inf)),
    **dict.fromkeys(("bodies", "queue", "learning_rate", "weight_decay"), (0, math.inf)),
    **dict.fromkeys(("checkpoint_minutes", "validate_every"), (0, math.inf)),
    **dict.fromkeys(("momentum", "hcn_dropout", "validate_share"), (0, 1)),
    # Dropout is seeded by 64 bits: the seed, then the step.
    "seed": (0, 2**32 - 1),
}


@dataclass(frozen=True)
class PretrainConfig:
    """Everything that decides what a pretraining computes, and how. Source of the defaults: arXiv 2108.03656,
    section 4.2, and its published code.

    A field's text is what `to_toml` writes beside its value.

    Raises
    ------
    SkelkitError : a value makes no sense
    """

    representations: Annotated[
        str, "seq, graph or image alone (intra-skeleton contrast), or several joined by + (inter-skeleton)"
    ] = "seq+graph"
    protocol: Annotated[str, "the training part of this protocol of the store is pretrained on"] = "xsub"

    frames: Annotated[int, "frames of a view, after resampling"] = 64
    bodies: Annotated[
        int, "bodies of a view: others are left out, missing ones zero; 0: as many as the store has, up to 2"
    ] = 0
    crop_low: Annotated[
        float, "temporal crop: shortest share of the sequence; shares are ~ U[crop_low, crop_high]"
    ] = 0.1
    crop_high: Annotated[float, "temporal crop: longest share"] = 1.0
    crop_shortest: Annotated[int, "temporal crop: at least so many frames, where the sequence has them"] = 64
    spatial: Annotated[
        str, 'one of these is drawn for each view: shear, jitter, rotation, joined by +; "" for none'
    ] = "shear+jitter"
    shear_strength: Annotated[float, "shear: off-diagonal elements ~ U[-strength, strength]"] = 1.0
    jitter_share: Annotated[
        float, "joint jitter: share of the joints that become zero, or are mapped by one 3x3 matrix"
    ] = 0.6
    jitter_strength: Annotated[float, "joint jitter: elements of that matrix ~ U[-strength, strength]"] = 1.0
    rotation_degrees: Annotated[
        float, "rotation: angle ~ U[-degrees, degrees] about an axis drawn from the sphere"
    ] = 30.0

    gru_hidden: Annotated[int, "seq: units of each of a layer's two GRUs"] = 1024
    gru_layers: Annotated[int, "seq: pairs of GRUs, one upon the other"] = 3
    gru_direction: Annotated[
        str, "seq: how the second GRU of a pair reads: forward (as the published weights) or bidirectional"
    ] = "forward"
    agcn_widths: Annotated[
        tuple[int, ...], "graph: channels of every A-GCN block; where they change, the frames are halved"
    ] = (64, 64, 64, 64, 128, 128, 128, 256, 256, 256)
    hcn_channels: Annotated[int, "image: channels of HCN's first layer; all others follow from it"] = 64
    hcn_dropout: Annotated[float, "image: share of the channels that is dropped in training"] = 0.5

    embedding: Annotated[int, "length of the embeddings that are contrasted"] = 128
    queue: Annotated[
        int,
        "negative keys kept of each representation; 0, for small datasets: none, and no key encoders; both "
        "views are queries, and the batch's other sequences the negatives",
    ] = 16384
    momentum: Annotated[float, "how much of a key encoder stays at each step; not used where queue is 0"] = (
        0.999
    )
    temperature: Annotated[float, "logits are divided by it"] = 0.07

    optimizer: Annotated[str, "sgd (momentum 0.9) or adamw"] = "sgd"
    learning_rate: Annotated[float, "until the first of the milestones"] = 0.01
    weight_decay: Annotated[float, "an L2 penalty under sgd, decoupled under adamw"] = 1e-4
    batch_size: Annotated[int, "sequences a step, of all processes together"] = 64
    epochs: Annotated[int, "passes over the training part"] = 451
    milestones: Annotated[tuple[int, ...], "the learning rate is divided by 10 after so many epochs"] = (351,)

    seed: Annotated[int, "of everything random: initial weights, order, views, dropout"] = 0
    checkpoint_every: Annotated[int, "epochs between checkpoints; one is written after the last, too"] = 10
    checkpoint_minutes: Annotated[float, "minutes between checkpoints, also within an epoch; 0: none"] = 30.0
    synchronised_norms: Annotated[
        bool, "batch norms take their statistics over all processes, not each over its own (the paper's way)"
    ] = False
    validate_every: Annotated[
        int, "epochs between retrieval scores on held-out training subjects; 0: none, and nobody held out"
    ] = 0
    validate_share: Annotated[float, "share of the training subjects that is held out for it"] = 0.1
    tensorboard: Annotated[bool, "the metrics also go to RUN/tensorboard"] = False

    data: Annotated[
        str,
        "resident on the device, streamed from the disk, or auto: resident where half its memory is enough",
    ] = "auto"
    precision: Annotated[
        str, "float32, bfloat16 (losses and norms stay float32), or auto: bfloat16 on a GPU that has it"
    ] = "auto"
    compile: Annotated[
        str, "on or off: graph and image encoders go through torch.compile; auto: on a GPU"
    ] = "auto"

    def __post_init__(self) -> None:
        names = self.names
        if len(set(names)) != len(names) or not set(names) <= set(_REPRESENTATIONS):
            unknown = [name for name in names if name not in _REPRESENTATIONS]
            raise SkelkitError(
                f"representations {self.representations!r}: expected seq, graph, image or several joined "
                "by +, each once" + "".join(did_you_mean(name, _REPRESENTATIONS) for name in unknown[:1])
            )
        for name, choices in _CHOICES.items():
            if getattr(self, name) not in choices:
                expected = f"{', '.join(choices[:-1])} or {choices[-1]}"
                value = getattr(self, name)
                raise SkelkitError(f"{name} {value!r}: expected {expected}{did_you_mean(value, choices)}")
        for name, value in asdict(self).items():
            if isinstance(value, float) and not math.isfinite(value):
                raise SkelkitError(f"{name} is {value}, expected a finite number")
            low, high = _RANGES.get(name, (-math.inf, math.inf))
            if isinstance(value, int | float) and not low <= value <= high:
                expected = f"{low} or more" if high == math.inf else f"{low} to {high}"
                raise SkelkitError(f"{name} is {value}, expected {expected}")
        if self.temperature <= 0:
            raise SkelkitError(f"temperature is {self.temperature}, expected more than 0")
        self.augmentation()

    @property
    def names(self) -> tuple[str, ...]:
        """The representations one by one."""
        return tuple(self.representations.split("+"))

    def augmentation(self) -> Transform:
        """Crop, resample, then one of the spatial augmentations.

        Raises
        ------
        SkelkitError : an unknown augmentation, or a range that makes no sense
        """
        try:
            spatial: dict[str, Transform] = {
                "shear": Shear(self.shear_strength),
                "jitter": JointJitter(self.jitter_share, self.jitter_strength),
                "rotation": Rotation(self.rotation_degrees),
            }
            chosen = tuple(spatial[name] for name in self.spatial.split("+") if name)
            temporal = (Crop(self.crop_low, self.crop_high, self.crop_shortest), Resample(self.frames))
            return Compose((*temporal, OneOf(chosen)) if chosen else temporal)
        except KeyError as error:
            (name,) = error.args
            near = did_you_mean(name, spatial)
            raise SkelkitError(
                f"spatial augmentation {name!r}: expected {', '.join(spatial)}, or several joined by +{near}"
            ) from None
        except ValueError as error:
            raise SkelkitError(str(error)) from None

    def to_toml(self) -> str:
        """One line a field, with its text as a comment; `resolve` reads it back."""
        hints = get_type_hints(PretrainConfig, include_extras=True)
        lines = []
        for name, value in asdict(self).items():
            setting = f"{name} = {json.dumps(value, ensure_ascii=False)}"
            lines.append(f"{setting:<30}  # {hints[name].__metadata__[0]}\n")
        return "".join(lines)


PRESETS: Mapping[str, Mapping[str, Any]] = {
    "small": {
        "representations": "seq",
        "frames": 32,
        "crop_low": 0.5,
        "crop_shortest": 8,
        "shear_strength": 0.5,
        "gru_hidden": 128,
        "gru_layers": 1,
        "gru_direction": "bidirectional",
        "agcn_widths": (16, 32, 64),
        "hcn_channels": 16,
        "hcn_dropout": 0.0,
        "queue": 0,
        "temperature": 0.1,
        "optimizer": "adamw",
        "learning_rate": 2e-3,
        "batch_size": 128,
        "epochs": 60,
        "milestones": (45,),
    },
    "isc-ntu60": {},
    "isc-ntu120": {"epochs": 351, "milestones": (251,)},
    "isc-pku1": {"queue": 8192, "epochs": 600, "milestones": ()},
    "isc-pku2": {"queue": 2048, "epochs": 600, "milestones": ()},
}
"""Named configurations: the paper's for each dataset, and one for about a thousand short sequences that a
laptop's CPU carries, found on Northwestern-UCLA (docs/results.md)."""


def read_toml(path: Path) -> dict[str, Any]:
    """The settings in a configuration file.

    Raises
    ------
    InputError : it cannot be read, or is no TOML
    """
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise InputError(str(path), no_such("file", path)) from None
    except OSError as error:
        raise InputError(str(path), f"cannot be read: {error.strerror}") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise InputError(str(path), f"not TOML: {error}") from None


def parse_setting(text: str) -> tuple[str, Any]:
    """``FIELD=VALUE`` of a known field, the value in TOML's notation; a bare word is a text.

    >>> parse_setting("momentum=0.99"), parse_setting("optimizer=adamw")
    (('momentum', 0.99), ('optimizer', 'adamw'))

    Raises
    ------
    SkelkitError : no equals sign, an unknown field, or a value of the wrong type
    """
    name, equals, value = (part.strip() for part in text.partition("="))
    if not equals:
        raise SkelkitError(f"setting {text!r}: expected FIELD=VALUE as in momentum=0.99")
    with suppress(tomllib.TOMLDecodeError):
        value = tomllib.loads(f"value = {value}")["value"]
    return name, _checked(name, value)


def resolve(*settings: Mapping[str, Any]) -> PretrainConfig:
    """A configuration from settings, later ones over earlier ones, over the defaults.

    Raises
    ------
    SkelkitError : an unknown field, or a value of the wrong type
    """
    merged = {name: value for some in settings for name, value in some.items()}
    return PretrainConfig(**{name: _checked(name, value) for name, value in merged.items()})


def _checked(name: str, value: Any) -> Any:
    """The value of a known field, of its type."""
    known = {field.name for field in fields(PretrainConfig)}
    if name not in known:
        raise SkelkitError(f"no setting {name!r}{did_you_mean(name, known)}")
    hint = get_type_hints(PretrainConfig)[name]
    if hint is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if hint == tuple[int, ...]:
        if isinstance(value, list | tuple) and all(type(item) is int for item in value):
            return tuple(value)
        raise SkelkitError(f"{name} is {value!r}, expected a list of whole numbers")
    if type(value) is not hint:
        raise SkelkitError(f"{name} is {value!r}, expected {hint.__name__}")
    if name == "protocol" and ":" in value:
        with suppress(SkelkitError):  # the store says what is wrong with it
            return str(Protocol.parse(value))  # however it was written: a run goes on with the same
    return value
