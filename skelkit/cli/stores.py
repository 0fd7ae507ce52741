"""Look into a store, and check it."""

from __future__ import annotations

import json
from pathlib import Path

import click

from skelkit.cli.base import Voice, example, json_option, names_in_store, path_type, with_voice


@click.command()
@click.argument("file", type=path_type)
@click.option(
    "--sample",
    metavar="NAME",
    help="Show one sequence.",
    shell_complete=names_in_store(lambda store: store.names),
)
@json_option
@with_voice
@example("skelkit show ntu60.h5 --sample S001C001P001R001A023")
def show(file: Path, sample: str | None, as_json: bool, voice: Voice) -> None:
    """Say what is in a store: sequences, classes, protocols, layout and recipe."""
    from skelkit.show import describe_sample, describe_store
    from skelkit.store import Store

    with voice.stage(f"reading {file}"), Store(file) as store:
        facts, text = describe_sample(store, sample) if sample else describe_store(store)
    click.echo(json.dumps(facts) if as_json else text)


@click.command()
@click.argument("file", type=path_type)
@json_option
@with_voice
@example("skelkit verify ntu60.h5")
def verify(file: Path, as_json: bool, voice: Voice) -> None:
    """Check every byte of a store, and name the sequences that are damaged.

    Whether the joints make sense is another thing: a note says where they are too far away for a camera.
    """
    from skelkit.store import Store
    from skelkit.store import verify as run

    with voice.stage(f"checking {file}"):
        problems = run(file, progress=not voice.quiet)
    note = None
    if not problems and (as_json or not voice.quiet):
        with Store(file) as store:
            note = store.note_of_far()
    if as_json:
        told = {"file": str(file), "intact": not problems, "problems": problems, "note": note}
        click.echo(json.dumps(told))
    else:
        click.echo("\n".join(problems) or f"{file}: intact, every byte is as it was written")
        if note:
            click.echo(f"  note  {note}")
    if problems:
        raise click.exceptions.Exit(1)


@click.command()
@click.argument("a", type=path_type)
@click.argument("b", type=path_type)
@json_option
@with_voice
@example("skelkit diff ntu60.h5 ntu60-again.h5")
def diff(a: Path, b: Path, as_json: bool, voice: Voice) -> None:
    """Say in what two stores differ: recipe, layout, classes, protocols, sequences, labels, joints.

    Ends with exit code 0 where the content is the same, 1 where it differs.
    """
    from skelkit.differences import diff as run
    from skelkit.differences import diff_text, same_content
    from skelkit.errors import StoreError
    from skelkit.store import Store
    from skelkit.store import verify as check

    for path in (a, b):
        with voice.stage(f"checking {path}"):
            for problem in check(path, progress=not voice.quiet):
                raise StoreError(problem)
    with voice.stage("comparing"), Store(a) as first, Store(b) as second:
        differences = run(first, second, progress=not voice.quiet)
        text = diff_text(first, second, differences)
    if as_json:
        facts = {difference.topic: difference.facts for difference in differences}
        click.echo(
            json.dumps({"a": str(a), "b": str(b), "same": same_content(differences), "differences": facts})
        )
    else:
        click.echo(text)
    if not same_content(differences):
        raise click.exceptions.Exit(1)
