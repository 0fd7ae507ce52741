"""Raw files of invented people."""

from __future__ import annotations

import json
from pathlib import Path

import click

from skelkit.cli.base import DATASET_NAMES, Choice, Voice, example, json_option, path_type, with_voice


@click.command()
@click.argument("directory", type=path_type)
@click.option("--dataset", type=Choice(DATASET_NAMES), default="ntu60", show_default=True, help="The format.")
@click.option("--classes", type=click.IntRange(1), default=10, show_default=True, help="Actions.")
@click.option("--subjects", type=click.IntRange(1), default=8, show_default=True, help="Performers.")
@click.option("--repeats", type=click.IntRange(1), default=2, show_default=True, help="Of each action.")
@click.option("--seed", type=click.IntRange(0), default=0, show_default=True)
@json_option
@with_voice
@example(
    "skelkit synth raw --dataset ntu60 --classes 10 --subjects 8 --repeats 2",
    "skelkit synth raw --dataset pku1 --classes 10 --subjects 8 --repeats 2",
)
def synth(
    directory: Path,
    dataset: str,
    classes: int,
    subjects: int,
    repeats: int,
    seed: int,
    as_json: bool,
    voice: Voice,
) -> None:
    """Write valid raw files of invented people, seen by three cameras, to try everything without any data."""
    from skelkit.progress import progress_bar
    from skelkit.synthetic import synthesise

    stage = f"writing {classes} actions of {subjects} performers, {repeats} times"
    with (
        voice.stage(stage),
        progress_bar(unit="file", desc="writing", leave=False, shown=not voice.quiet) as bar,
    ):

        def progress(done: int, total: int) -> None:
            bar.total = total
            bar.update(done - bar.n)

        files = synthesise(
            directory,
            dataset=dataset,
            classes=classes,
            subjects=subjects,
            repeats=repeats,
            seed=seed,
            progress=progress,
        )
    if as_json:
        click.echo(json.dumps({"directory": str(directory), "files": len(files)}))
    else:
        click.echo(f"{directory}: {len(files)} files")
