"""Evaluation of a run's encoders."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar, cast

import click

from skelkit.cli.base import Choice, example, json_option, names_in_store, path_type, with_voice
from skelkit.errors import Stopped
from skelkit_train.cli.base import (
    FiniteRange,
    device_option,
    picked_device,
    protocol_rule,
    representation_option,
    require,
)

if TYPE_CHECKING:
    from skelkit_train.evaluate.results import Evaluation

Command = TypeVar("Command", bound=Callable[..., Any])


_COMMON = (
    click.argument("run", type=path_type),
    click.argument("data", type=path_type),
    click.option(
        "--protocol",
        callback=protocol_rule,
        shell_complete=names_in_store(lambda store: store.protocols),
        help="One of the store's, or COLUMN:VALUES that train, as subject:1-16.  [default: the run's]",
    ),
    representation_option("One of the run's, or several joined by + to fuse them; each if not given."),
    click.option(
        "--fusion",
        type=Choice(["features", "scores"]),
        default="features",
        show_default=True,
        help="How several are fused: features side by side, or the mean of class probabilities (cosines).",
    ),
    click.option(
        "--with",
        "others",
        type=path_type,
        multiple=True,
        metavar="RUN",
        help="Fuse with the representations of another run; can be given several times.",
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
    voiced = with_voice(command)

    @wraps(voiced)
    def checked(**given: Any) -> None:
        require("run", given["run"])
        require("file", given["data"])
        voiced(**given)

    command = cast(Command, checked)
    for add in reversed(_COMMON):
        command = add(command)
    return command


def _evaluate(task: Callable[..., Evaluation], *settings: Any, common: dict[str, Any], **how: Any) -> None:
    """Open run and store, evaluate, and tell."""
    from skelkit_train.evaluate.setting import open_setting

    voice, run, data = (common[name] for name in ("voice", "run", "data"))
    device = picked_device(common["device"], voice)
    with voice.stage(f"reading {run} and {data}"):
        setting = open_setting(
            run,
            data,
            common["protocol"],
            device=device,
            subjects=common["subjects"],
            seed=common["seed"],
            others=common["others"],
            progress=not voice.quiet,
        )
    held_out = ", ".join(f"{len(places)} {part}" for part, places in setting.held_out.items())
    voice.say(f"{setting.protocol}: {len(setting.train)} train, {held_out}")
    with voice.stage("evaluating"), voice.compiling():
        try:
            found = task(
                setting,
                *settings,
                representation=common["representation"],
                fusion=common["fusion"],
                **how,
            )
        except KeyboardInterrupt:
            raise Stopped("interrupted; what was finished is kept, and the same command goes on") from None
    click.echo(
        json.dumps(asdict(found)) if common["as_json"] else f"{found.table()}\n  written to {found.path}"
    )


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
    given = click.get_current_context().get_parameter_source("epochs")
    if quick and given is click.core.ParameterSource.COMMANDLINE:
        raise click.UsageError("--quick ends when it has converged and has no --epochs; give one of them")
    _evaluate(
        evaluate_linear,
        LinearConfig(epochs=epochs, seed=common["seed"]),
        common=common,
        baselines=baselines,
        seeds=seeds,
        quick=quick,
        fresh=fresh,
    )


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
    _evaluate(
        evaluate_retrieval,
        k=k,
        common=common,
        baselines=baselines,
        compressed=compressed,
        seed=common["seed"],
        seeds=seeds,
    )


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
    _evaluate(
        evaluate_semi,
        FinetuneConfig(epochs, learning_rate=learning_rate, score_every=score_every, seed=common["seed"]),
        shares=shares or SHARES,
        subsets=subsets,
        listed=LabelSubsets.read(subset_file) if subset_file else None,
        common=common,
        baselines=baselines,
        fresh=fresh,
    )


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

    _evaluate(
        evaluate_finetune,
        FinetuneConfig(epochs, learning_rate=learning_rate, score_every=score_every, seed=common["seed"]),
        supervised=supervised,
        common=common,
        seeds=seeds,
        fresh=fresh,
    )
