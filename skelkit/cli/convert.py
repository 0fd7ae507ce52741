"""Raw files to a store."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from skelkit.cli.base import (
    DATASET_NAMES,
    RECIPE_NAMES,
    Choice,
    OutFile,
    Voice,
    counted,
    example,
    json_option,
    overwrite_option,
    parsed,
    path_type,
    recipe_line,
    with_voice,
)
from skelkit.files import report_path

if TYPE_CHECKING:
    from skelkit.conversion import Report

_SHOWN, _NOTED, _FEW = 5, 2, 3
"""Rows of what was quarantined, of notes, and names of what was excluded for one reason, on the screen; the
report has all."""


def _shard(_ctx: click.Context, _param: click.Parameter, value: str | None) -> tuple[int, int] | None:
    if value is None:
        return None
    index, _, of = value.partition("/")
    short = value.isascii() and len(value) < 16
    if not (short and index.isdecimal() and of.isdecimal() and 1 <= int(index) <= int(of)):
        raise click.BadParameter(f"{value!r}, expected I/N with I from 1 to N, as 2/5")
    return int(index), int(of)


@click.command()
@click.argument("sources", nargs=-1, required=True, type=path_type)
@click.option("--dataset", required=True, type=Choice(DATASET_NAMES), help="What the files are.")
@click.option("-o", "--out", required=True, type=OutFile(".h5"), help="The store to write, ending in .h5.")
@click.option("--recipe", type=Choice(RECIPE_NAMES), default="isc", show_default=True, help="Normalisation.")
@click.option(
    "--labels", multiple=True, type=path_type, help="PKU-MMD: where the label files are, if not in SOURCES."
)
@click.option(
    "--splits",
    multiple=True,
    type=path_type,
    help="PKU-MMD: where the split files are, if not in SOURCES. Without any the published lists hold.",
)
@click.option(
    "--clips",
    "clip_rules",
    multiple=True,
    metavar="RULE=CHOICE",
    help="PKU-MMD: what becomes of clips. end=excluded|included: the last frame of a label; "
    "long=keep|cut|exclude: more than 300 frames; beyond=quarantine|cut: labels past the file's end; "
    "unlisted=keep|exclude: recordings in neither list of the split files; empty=exclude|keep: nobody "
    "there. The first of each is the default.",
)
@click.option("--workers", type=click.IntRange(1), show_default="cores", help="Processes.")
@click.option(
    "--scheduler", metavar="ADDRESS", help="Let the workers of a dask scheduler do it, as tcp://host:8786."
)
@click.option(
    "--shard",
    metavar="I/N",
    callback=_shard,
    help="Only part I of N, for job arrays; skelkit merge puts them together.",
)
@click.option(
    "--on-bad",
    type=Choice(["skip", "stop"]),
    default="skip",
    show_default=True,
    help="Leave bad files out, name them in the report and end well, or stop at the first.",
)
@overwrite_option
@click.option("--fresh", is_flag=True, help="Start anew instead of taking up an interrupted conversion.")
@json_option
@with_voice
@example(
    "skelkit convert nturgbd_skeletons_s001_to_s017.zip --dataset ntu60 -o ntu60.h5",
    "skelkit convert Skeleton.zip --labels Label.zip --splits Split --dataset pku1 -o pku1.h5",
)
def convert(
    sources: tuple[Path, ...],
    dataset: str,
    out: Path,
    recipe: str,
    labels: tuple[Path, ...],
    splits: tuple[Path, ...],
    clip_rules: tuple[str, ...],
    workers: int | None,
    scheduler: str | None,
    shard: tuple[int, int] | None,
    on_bad: str,
    overwrite: bool,
    fresh: bool,
    as_json: bool,
    voice: Voice,
) -> None:
    """Convert raw files into a normalised store.

    SOURCES are folders, .zip archives (read without unpacking them) and single files. Writes OUT.h5 and
    OUT.report.json. An interrupted conversion goes on where it was when the same command is given again.
    """
    from dataclasses import asdict

    from skelkit.clips import parse_rules
    from skelkit.conversion import convert as run
    from skelkit.workers import cores

    if (clip_rules or labels or splits) and not dataset.startswith("pku"):
        raise click.UsageError(f"--clips, --labels and --splits are for PKU-MMD, not for {dataset}")
    if scheduler and workers:
        raise click.UsageError("--workers: a scheduler has workers of its own; give one or the other")
    clips = parsed("--clips", parse_rules, clip_rules)
    for source in (*sources, *labels, *splits):
        voice.say(f"source {source}")
    voice.say(recipe_line(recipe))
    voice.say(f"workers {scheduler or workers or f'as many as pay, at most {cores()}'}")
    with voice.stage(f"converting into {out}"), voice.compiling():
        report = run(
            sources,
            out,
            dataset=dataset,
            recipe=recipe,
            labels=labels,
            splits=splits,
            clips=clips,
            workers=workers,
            scheduler=scheduler,
            shard=shard,
            stop_on_bad=on_bad == "stop",
            overwrite=overwrite,
            fresh=fresh,
            progress=not voice.quiet,
        )
    if as_json:
        click.echo(json.dumps({"out": str(out), **asdict(report)}))
    else:
        _tell(report, out, voice)


def _tell(report: Report, out: Path, voice: Voice) -> None:
    shard = f", shard {report.shard}" if report.shard else ""
    of = f"{counted(report.kept, 'sequence')} of {counted(report.found, 'file')}"
    click.echo(f"{out}: {of} in {report.seconds:.1f} s{shard}")
    for reason, count in Counter(row["reason"] for row in report.excluded).items():
        names = [row["name"] for row in report.excluded if count <= _FEW and row["reason"] == reason]
        told = f" ({', '.join(names)})" if names else ""
        click.echo(f"  excluded     {count}: {reason}{told}")
    shown = len(report.quarantined) if voice.verbose else _SHOWN
    if len(report.quarantined) > shown:
        click.echo(f"  quarantined  {len(report.quarantined)}, the first of them:")
    for row in report.quarantined[:shown]:
        line = f", line {row['line']}" if row["line"] else ""
        click.echo(f"  quarantined  {row['file']}{line}: {row['reason']}")
    if not voice.quiet:
        _tell_notes(report.notes, len(report.notes) if voice.verbose else _NOTED)
    if report.ignored:
        click.echo(f"  ignored      {len(report.ignored)} other files")
    click.echo(f"  report       {report_path(out)}")
    click.echo(f"  content      {report.content_hash}")


def _tell_notes(notes: list[dict[str, Any]], shown: int) -> None:
    for row in notes[:shown]:
        click.echo(f"  note         {row['name']}: {'; '.join(row['notes'])}")
    if len(notes) > shown:
        click.echo(f"  note         on the bodies of {len(notes) - shown} more sequences, in the report")


@click.command()
@click.argument("parts", nargs=-1, required=True, type=path_type)
@click.option("-o", "--out", required=True, type=OutFile(".h5"), help="The store to write, ending in .h5.")
@overwrite_option
@json_option
@with_voice
@example("skelkit merge ntu60.1.h5 ntu60.2.h5 ntu60.3.h5 -o ntu60.h5")
def merge(parts: tuple[Path, ...], out: Path, overwrite: bool, as_json: bool, voice: Voice) -> None:
    """Put the shards of a conversion together into one store.

    All of them must be given; the result has the same content as a conversion in one go. Stores that are no
    shards are merged too, where recipe, layout, classes and protocols are the same and no sequence is twice.
    """
    from skelkit.merging import merge as run

    for part in parts:
        voice.say(f"part {part}")
    with voice.stage(f"merging into {out}"):
        count, content_hash = run(parts, out, overwrite=overwrite, progress=not voice.quiet)
    if as_json:
        click.echo(json.dumps({"out": str(out), "kept": count, "content_hash": content_hash}))
    else:
        click.echo(
            f"{out}: {counted(count, 'sequence')} of {counted(len(parts), 'store')}\n"
            f"  content      {content_hash}"
        )
