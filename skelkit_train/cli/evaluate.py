"""Evaluation of a run's encoders."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from skelkit.cli.base import example, json_option, path_type
from skelkit_train.cli.base import FiniteRange, device_option, representation_option

if TYPE_CHECKING:
    from skelkit_train.evaluate.results import Evaluation
    from skelkit_train.evaluate.setting import Setting

Command = TypeVar("Command", bound=Callable[..., Any])


_COMMON = (
    click.argument("run", type=path_type),
    click.argument("data", type=path_type),
    click.option("--protocol", required=True, help="Train and test parts, as the store has them."),
    representation_option("One of the run's, or several joined by + to fuse them; each if not given."),
    click.option(
        "--fusion",
        type=click.Choice(["features", "scores"]),
        default="features",
        show_default=True,
        help="How several are fused: features side by side, or the mean of class probabilities (cosines).",
    ),
    click.option(
        "--validation",
        "subjects",
        type=click.IntRange(0),
        default=0,
        metavar="SUBJECTS",
        help="Hold so many training subjects out, and score on them, too.",
    ),
    click.option(
        "--seed",
        type=click.IntRange(0, 2**32 - 1),
        default=0,
        show_default=True,
        help="Of everything random; with several trainings, of the first.",
    ),
    device_option,
    json_option,
)
_seeds = click.option(
    "--seeds", type=click.IntRange(1), default=1, show_default=True, help="Trainings: mean and deviation."
)
_fresh = click.option("--fresh", is_flag=True, help="Do finished trainings again.")
_baselines = click.option(
    "--baselines/--no-baselines",
    default=True,
    show_default=True,
    help="Also an untrained encoder and raw coordinates.",
)
_rate = click.option("--learning-rate", type=FiniteRange(0, min_open=True), default=1e-4, show_default=True)
_score_every = click.option(
    "--score-every",
    type=click.IntRange(1),
    default=5,
    show_default=True,
    help="Epochs between points of the curve; the last epoch is the result.",
)
_epochs = click.option("--epochs", type=click.IntRange(1), default=50, show_default=True)


def _common(command: Command) -> Command:
    for add in reversed(_COMMON):
        command = add(command)
    return command


def _open(run: Path, data: Path, protocol: str, subjects: int, seed: int, device: str, **_: Any) -> Setting:
    from skelkit_train.data import pick_device
    from skelkit_train.evaluate.setting import open_setting

    where = pick_device(device)
    return open_setting(run, data, protocol, device=where, subjects=subjects, seed=seed, progress=True)


def _echo(found: Evaluation, as_json: bool) -> None:
    click.echo(json.dumps(asdict(found)) if as_json else f"{found.table()}\n  written to {found.path}")


@click.group("eval")
def evaluate() -> None:
    """Evaluate a run's encoders."""


@evaluate.command()
@click.option("--epochs", type=click.IntRange(1), default=80, show_default=True)
@click.option("--quick", is_flag=True, help="Logistic regression on centre crops instead: seconds.")
@_seeds
@_baselines
@_fresh
@_common
@example("skelkit-train eval linear runs/isc ntu60.h5 --protocol xsub")
def linear(epochs: int, quick: bool, seeds: int, baselines: bool, fresh: bool, **common: Any) -> None:
    """Train one linear layer on the frozen encoder's features, and test it.

    The protocol of the paper: new random crops every epoch, SGD, the last epoch is the result. A training
    that is finished is not repeated when the command is given again.
    """
    from skelkit_train.evaluate.linear import LinearConfig
    from skelkit_train.evaluate.tasks import evaluate_linear

    if quick and seeds > 1:
        raise click.UsageError(
            "--seeds counts trainings, and nothing is random with --quick; give one of them"
        )
    found = evaluate_linear(
        _open(**common),
        LinearConfig(epochs=epochs, seed=common["seed"]),
        representation=common["representation"],
        fusion=common["fusion"],
        baselines=baselines,
        seeds=seeds,
        quick=quick,
        fresh=fresh,
    )
    _echo(found, common["as_json"])


@evaluate.command()
@click.option("-k", type=click.IntRange(1), default=1, show_default=True, help="Neighbours that vote.")
@click.option("--compressed", is_flag=True, help="On features that an autoencoder has compressed to 125.")
@click.option(
    "--seeds", type=click.IntRange(1), default=1, show_default=True, help="Autoencoders: mean and deviation."
)
@_baselines
@_common
@example("skelkit-train eval retrieval runs/isc ntu60.h5 --protocol xsub")
def retrieval(k: int, compressed: bool, seeds: int, baselines: bool, **common: Any) -> None:
    """Give each test sample the class of its nearest training samples by cosine.

    Features are taken on centre crops, and kept in the run for the next evaluation.
    """
    from skelkit_train.evaluate.tasks import evaluate_retrieval

    if seeds > 1 and not compressed:
        raise click.UsageError("--seeds counts autoencoders, which only --compressed has")
    found = evaluate_retrieval(
        _open(**common),
        k=k,
        representation=common["representation"],
        fusion=common["fusion"],
        baselines=baselines,
        compressed=compressed,
        seed=common["seed"],
        seeds=seeds,
    )
    _echo(found, common["as_json"])


@evaluate.command()
@click.option(
    "--share",
    "shares",
    type=FiniteRange(0, 100, min_open=True),
    multiple=True,
    metavar="PERCENT",
    help="Of the labels; can be given several times.  [default: 1, 5, 10, 20, 40]",
)
@click.option(
    "--subsets", type=click.IntRange(1), default=5, show_default=True, help="Random subsets of each share."
)
@click.option(
    "--subset-file",
    type=path_type,
    help="Train on the samples listed there instead: a subsets-*.json of some run.",
)
@click.option(
    "--baselines/--no-baselines", default=False, show_default=True, help="Also from random weights."
)
@_epochs
@_rate
@_score_every
@_fresh
@_common
@example("skelkit-train eval semi runs/isc ntu60.h5 --protocol xsub --share 5 --share 20")
def semi(
    shares: tuple[float, ...],
    subsets: int,
    subset_file: Path | None,
    baselines: bool,
    epochs: int,
    learning_rate: float,
    score_every: int,
    fresh: bool,
    **common: Any,
) -> None:
    """Fine-tune encoder and linear layer on a share of the labels.

    The subsets are drawn class by class, and the names of their samples are written into the run. A training
    that is finished is not repeated when the command is given again.
    """
    from skelkit_train.evaluate.finetune import FinetuneConfig
    from skelkit_train.evaluate.subsets import LabelSubsets
    from skelkit_train.evaluate.tasks import SHARES, evaluate_semi

    if subset_file and shares:
        raise click.UsageError("--subset-file has a share of its own; give it or --share")
    if len(set(shares)) < len(shares):
        raise click.UsageError("--share: the same is given twice")
    found = evaluate_semi(
        _open(**common),
        FinetuneConfig(epochs, learning_rate=learning_rate, score_every=score_every, seed=common["seed"]),
        shares=shares or SHARES,
        subsets=subsets,
        listed=LabelSubsets.read(subset_file) if subset_file else None,
        representation=common["representation"],
        fusion=common["fusion"],
        baselines=baselines,
        fresh=fresh,
    )
    _echo(found, common["as_json"])


@evaluate.command()
@_epochs
@_rate
@_score_every
@_seeds
@_fresh
@_common
@example(
    "skelkit-train eval finetune runs/isc ntu60.h5 --protocol xsub",
    "skelkit-train eval finetune runs/isc pku2.h5 --protocol xsub   (transfer)",
)
def finetune(**given: Any) -> None:
    """Fine-tune encoder and linear layer on all labels.

    DATA may be the store of another dataset, of the same joints and recipe: that is transfer. A training that
    is finished is not repeated when the command is given again.
    """
    _all_labels(supervised=False, **given)


@evaluate.command()
@_epochs
@_rate
@_score_every
@_seeds
@_fresh
@_common
@example("skelkit-train eval supervised runs/isc ntu60.h5 --protocol xsub")
def supervised(**given: Any) -> None:
    """Train from random weights on all labels: the baseline of finetune.

    The encoders are of the same sizes as the run's, and trained as finetune does.
    """
    _all_labels(supervised=True, **given)


def _all_labels(
    supervised: bool,
    epochs: int,
    learning_rate: float,
    score_every: int,
    seeds: int,
    fresh: bool,
    **common: Any,
) -> None:
    from skelkit_train.evaluate.finetune import FinetuneConfig
    from skelkit_train.evaluate.tasks import evaluate_finetune

    found = evaluate_finetune(
        _open(**common),
        FinetuneConfig(epochs, learning_rate=learning_rate, score_every=score_every, seed=common["seed"]),
        supervised=supervised,
        representation=common["representation"],
        fusion=common["fusion"],
        seeds=seeds,
        fresh=fresh,
    )
    _echo(found, common["as_json"])
