"""The configuration of a pretraining: one frozen dataclass, its presets, and TOML in and out.

Precedence: flag, then ``--config`` file, then preset, then the defaults below, which are the paper's.
"""

from __future__ import annotations

import json
import math
import tomllib
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, get_type_hints

from skelkit.augment import Compose, Crop, JointJitter, OneOf, Resample, Rotation, Shear, Transform
from skelkit.errors import InputError, SkelkitError

__all__ = ["PRESETS", "PretrainConfig", "parse_setting", "read_toml", "resolve"]

_REPRESENTATIONS = ("seq", "graph", "image")

# From and to; the augmentations and the encoders check the rest.
_RANGES: Mapping[str, tuple[float, float]] = {
    **dict.fromkeys(("frames", "gru_hidden", "gru_layers", "embedding", "queue"), (1, math.inf)),
    **dict.fromkeys(("batch_size", "epochs", "checkpoint_every"), (1, math.inf)),
    **dict.fromkeys(("bodies", "learning_rate", "weight_decay"), (0, math.inf)),
    **dict.fromkeys(("momentum", "hcn_dropout"), (0, 1)),
    # Dropout is seeded by 64 bits: the seed, then the step.
    "seed": (0, 2**32 - 1),
}


@dataclass(frozen=True)
class PretrainConfig:
    """Everything that decides what a pretraining computes. Source of the defaults: arXiv 2108.03656,
    section 4.2, and its published code.

    Raises
    ------
    SkelkitError : a value makes no sense
    """

    # What is contrasted: seq, graph or image alone (intra-skeleton), or several joined by + (inter-skeleton).
    representations: str = "seq+graph"
    # The training part of this protocol of the store is pretrained on.
    protocol: str = "xsub"

    # Frames of a view, after resampling.
    frames: int = 64
    # Bodies of a view: more are left out, missing ones are zero. 0: as many as the store has, up to 2.
    bodies: int = 0
    # Temporal crop: share of the sequence ~ U[crop_low, crop_high] ...
    crop_low: float = 0.1
    crop_high: float = 1.0
    # ... but at least so many frames, where the sequence has them.
    crop_shortest: int = 64
    # One of these is drawn for each view; joined by +, "" for none: shear, jitter, rotation.
    spatial: str = "shear+jitter"
    # Shear: off-diagonal elements ~ U[-strength, strength].
    shear_strength: float = 1.0
    # Joint jitter: share of the joints, and matrix elements ~ U[-strength, strength].
    jitter_share: float = 0.6
    jitter_strength: float = 1.0
    # Rotation: angle ~ U[-degrees, degrees] about an axis drawn from the sphere.
    rotation_degrees: float = 30.0

    # seq: GRU units in each direction, layers, and forward (as the published weights) or bidirectional.
    gru_hidden: int = 1024
    gru_layers: int = 3
    gru_direction: str = "forward"
    # graph: channels of every A-GCN block; where they change, the frames are halved.
    agcn_widths: tuple[int, ...] = (64, 64, 64, 64, 128, 128, 128, 256, 256, 256)
    # image: HCN channels, and dropout.
    hcn_channels: int = 64
    hcn_dropout: float = 0.5

    # Length of the embeddings that are contrasted.
    embedding: int = 128
    # Negative keys kept of each representation.
    queue: int = 16384
    # How much of a key encoder stays at each step.
    momentum: float = 0.999
    # Logits are divided by it.
    temperature: float = 0.07

    # sgd (momentum 0.9) or adamw.
    optimizer: str = "sgd"
    learning_rate: float = 0.01
    weight_decay: float = 1e-4
    batch_size: int = 64
    epochs: int = 451
    # The learning rate is divided by 10 at these epochs.
    milestones: tuple[int, ...] = (351,)

    # Of everything random: initial weights, order, views, dropout.
    seed: int = 0
    # A checkpoint is written after so many epochs, and after the last.
    checkpoint_every: int = 10

    def __post_init__(self) -> None:
        names = self.names
        if len(set(names)) != len(names) or not set(names) <= set(_REPRESENTATIONS):
            raise SkelkitError(
                f"representations {self.representations!r}: expected seq, graph, image or several joined by +"
            )
        if self.optimizer not in ("sgd", "adamw"):
            raise SkelkitError(f"optimizer {self.optimizer!r}: expected sgd or adamw")
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
            raise SkelkitError(f"spatial augmentation {error}: expected {', '.join(spatial)}") from None
        except ValueError as error:
            raise SkelkitError(str(error)) from None

    def to_toml(self) -> str:
        """One line a field; `resolve` reads it back."""
        return "".join(
            f"{name} = {json.dumps(value, ensure_ascii=False)}\n" for name, value in asdict(self).items()
        )


PRESETS: Mapping[str, Mapping[str, Any]] = {
    "small": {
        "representations": "seq",
        "crop_low": 0.3,
        "crop_shortest": 16,
        "gru_hidden": 128,
        "gru_layers": 2,
        "gru_direction": "bidirectional",
        "agcn_widths": (16, 16, 32, 32, 64),
        "hcn_channels": 16,
        "queue": 512,
        "momentum": 0.99,
        "optimizer": "adamw",
        "learning_rate": 1e-3,
        "epochs": 80,
        "milestones": (60,),
    },
    "isc-ntu60": {},
    "isc-ntu120": {"epochs": 351, "milestones": (251,)},
    "isc-pku1": {"queue": 8192, "epochs": 600, "milestones": ()},
    "isc-pku2": {"queue": 2048, "epochs": 600, "milestones": ()},
}
"""Named configurations: the paper's for each dataset, and one that a laptop's CPU carries."""


def read_toml(path: Path) -> dict[str, Any]:
    """The settings in a configuration file.

    Raises
    ------
    InputError : it cannot be read, or is no TOML
    """
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(str(path), f"cannot be read: {error.strerror}") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise InputError(str(path), f"not TOML: {error}") from None


def parse_setting(text: str) -> tuple[str, Any]:
    """``FIELD=VALUE``, the value in TOML's notation; a bare word is a text.

    >>> parse_setting("momentum=0.99"), parse_setting("optimizer=adamw")
    (('momentum', 0.99), ('optimizer', 'adamw'))

    Raises
    ------
    SkelkitError : no equals sign
    """
    name, equals, value = (part.strip() for part in text.partition("="))
    if not equals:
        raise SkelkitError(f"setting {text!r}: expected FIELD=VALUE as in momentum=0.99")
    try:
        return name, tomllib.loads(f"value = {value}")["value"]
    except tomllib.TOMLDecodeError:
        return name, value


def resolve(*settings: Mapping[str, Any]) -> PretrainConfig:
    """A configuration from settings, later ones over earlier ones, over the defaults.

    Raises
    ------
    SkelkitError : an unknown field, or a value of the wrong type
    """
    merged = {name: value for some in settings for name, value in some.items()}
    known = {field.name for field in fields(PretrainConfig)}
    hints = get_type_hints(PretrainConfig)
    for name, value in merged.items():
        if name not in known:
            import difflib

            near = difflib.get_close_matches(name, known, n=1)
            hint = f"; did you mean {near[0]}?" if near else ""
            raise SkelkitError(f"no setting {name!r}{hint}")
        merged[name] = _typed(name, value, hints[name])
    return PretrainConfig(**merged)


def _typed(name: str, value: Any, hint: Any) -> Any:
    if hint is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if hint == tuple[int, ...]:
        if isinstance(value, list | tuple) and all(type(item) is int for item in value):
            return tuple(value)
        raise SkelkitError(f"{name} is {value!r}, expected a list of whole numbers")
    if type(value) is not hint:
        raise SkelkitError(f"{name} is {value!r}, expected {hint.__name__}")
    return value
