"""The folder of a run: made where nothing is, with the configuration in it."""

from __future__ import annotations

from pathlib import Path

from skelkit.errors import SkelkitError
from skelkit.files import replacing
from skelkit_train.config import PretrainConfig

__all__ = ["make_run", "refuse_existing"]


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
