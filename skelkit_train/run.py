"""The folder of a run: made where nothing is, with the configuration in it, or gone on with."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

from skelkit.errors import SkelkitError
from skelkit.files import replacing
from skelkit_train.checkpoint import Checkpoint, DataFacts, checkpoints, load_latest
from skelkit_train.config import PretrainConfig
from skelkit_train.distributed import launch, restarted
from skelkit_train.metrics import require_tensorboard

__all__ = ["make_run", "open_run", "refuse_existing"]

_LAUNCH = "launched-by"
_MAY_CHANGE = ("epochs", "checkpoint_every", "checkpoint_minutes", "tensorboard", "data", "compile")
"""Settings that decide nothing that is computed in an epoch, but for rounding on a GPU."""


def refuse_existing(run: Path, problem: str) -> None:
    """See that there is nothing yet, or an empty folder; else the error says ``problem``.

    Raises
    ------
    SkelkitError : there is something, or no looking there
    """
    try:
        taken = run.exists() and any(run.iterdir() if run.is_dir() else [run])
    except OSError as error:
        raise SkelkitError(f"{run}: cannot look there: {error.strerror}") from None
    if taken:
        raise SkelkitError(f"{run}: {problem}")


def make_run(run: Path, config: PretrainConfig) -> None:
    """Make the folder, where there is none, and write the configuration into it.

    Raises
    ------
    SkelkitError : the disk refuses
    """
    try:
        run.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise SkelkitError(f"{run}: cannot write there: {error.strerror}") from None
    with replacing(run / "config.toml", "the configuration") as temporary:
        temporary.write_text(config.to_toml(), encoding="utf-8")


def open_run(run: Path, config: PretrainConfig, facts: DataFacts, resume: bool) -> Checkpoint | None:
    """Make the run's folder, or find where to go on.

    Raises
    ------
    SkelkitError : it exists and ``resume`` is not given, there is none, or it cannot go on with this
    """
    before = None
    if config.tensorboard:
        require_tensorboard()
    name = launch()
    ours = name is not None and _launched_by(run) == name
    if resume or (ours and restarted()):
        if not (run / "config.toml").exists():
            raise SkelkitError(f"{run}: no run in this folder to go on with")
        if checkpoints(run):
            before = load_latest(run)
            _check_same(run, before, config, facts)
    else:
        if ours:  # by an earlier launch of the same name: no restart of this one may take it up
            (run / _LAUNCH).unlink()
        refuse_existing(run, "exists already; --resume goes on with it, or give another folder")
    make_run(run, config)
    if name is not None:
        with replacing(run / _LAUNCH, "what it was launched by") as temporary:
            temporary.write_text(f"{name}\n", encoding="utf-8")
    return before


def _launched_by(run: Path) -> str | None:
    """The launch of ``torchrun`` that began a run, or went on with it last."""
    try:
        return (run / _LAUNCH).read_text(encoding="utf-8").removesuffix("\n")
    except (OSError, UnicodeDecodeError):
        return None


def _check_same(run: Path, before: Checkpoint, config: PretrainConfig, facts: DataFacts) -> None:
    difference = before.data.why_not(facts)
    if difference:
        raise SkelkitError(f"{run}: cannot go on with this store: {difference}")
    if not before.data.content_hash:
        raise SkelkitError(
            f"{run}: holds imported weights, without the optimiser's state that training goes on from"
        )
    if before.data.content_hash != facts.content_hash:
        theirs, ours = before.data.content_hash[:12], facts.content_hash[:12]
        raise SkelkitError(
            f"{run}: was trained on a store with other content: {theirs}..., this one has {ours}... "
            "(skelkit show tells it)"
        )
    old = asdict(before.config)
    for name, value in asdict(config).items():
        if old[name] != value and name not in _MAY_CHANGE:
            raise SkelkitError(
                f"{run}: was begun with {name} = {old[name]!r}, not {value!r}; "
                f"--config {run / 'config.toml'} gives its settings again"
            )
    begun = before.epoch + bool(before.begun)
    if config.epochs < begun:
        raise SkelkitError(f"{run}: has come to epoch {begun} already, beyond the {config.epochs} asked for")
