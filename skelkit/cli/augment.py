"""Augmentations, shown."""

from __future__ import annotations

import json
from pathlib import Path

import click

from skelkit.cli.base import (
    AUGMENTATION_NAMES,
    PREVIEW_ENDINGS,
    Choice,
    OutFile,
    Voice,
    example,
    json_option,
    names_in_store,
    path_type,
    with_voice,
)


@click.group()
def augment() -> None:
    """Augmentations."""


@augment.command()
@click.argument("file", type=path_type)
@click.option(
    "--sample",
    required=True,
    metavar="NAME",
    help="The sequence to show.",
    shell_complete=names_in_store(lambda store: store.names),
)
@click.option(
    "--augment",
    "augmentations",
    multiple=True,
    type=Choice(AUGMENTATION_NAMES),
    help="What to show; can be given several times. All that the joint layout allows if not given.",
)
@click.option("--compose", is_flag=True, help="Show those given one after the other, as one view.")
@click.option("--seed", type=click.IntRange(0, 2**32 - 1), default=0, show_default=True, help="Of the draws.")
@click.option(
    "--epoch",
    type=click.IntRange(0, 2**63 - 1),
    default=0,
    show_default=True,
    help="Of a training, to replay.",
)
@click.option("--view", type=click.IntRange(0, 1), default=0, show_default=True, help="0 query, 1 key.")
@click.option(
    "-o",
    "--out",
    required=True,
    type=OutFile(*PREVIEW_ENDINGS),
    help="Where to, ending in .html, .gif or .png.",
)
@json_option
@with_voice
@example(
    "skelkit augment preview ntu60.h5 --sample S001C001P001R001A023 -o preview.html",
    "skelkit augment preview ntu60.h5 --sample S001C001P001R001A023 --compose \\",
    "    --augment crop --augment mirror --augment shear -o preview.gif",
)
def preview(
    file: Path,
    sample: str,
    augmentations: tuple[str, ...],
    compose: bool,
    seed: int,
    epoch: int,
    view: int,
    out: Path,
    as_json: bool,
    voice: Voice,
) -> None:
    """Show a sequence before and after augmentation, moving."""
    if compose and len(augmentations) < 2:
        raise click.UsageError("--compose: give --augment at least twice")
    with voice.stage("loading the transforms"):
        from skelkit.augment import AUGMENTATIONS, Compose, Transform
        from skelkit.preview import write_preview
        from skelkit.store import Store

    chosen: dict[str, Transform] = {name: AUGMENTATIONS[name] for name in augmentations}
    if compose:
        try:
            together = Compose(tuple(AUGMENTATIONS[name] for name in augmentations))
        except ValueError as error:
            raise click.UsageError(f"--compose: {error}") from None
        chosen = {" + ".join(augmentations): together}
    with voice.stage(f"drawing {sample} of {file}"), voice.compiling(), Store(file) as store:
        place = store.place(sample)
        sequence = store.sequence(place)
        drawn = write_preview(
            sequence,
            store.layout,
            out,
            augmentations=chosen or None,
            seed=seed,
            epoch=epoch,
            view=view,
            sample=place,
            class_name=store.class_name(sequence.label),
            recipe=store.recipe["name"],
        )
    if as_json:
        facts = {
            kind: {title: one[kind] for title, one in drawn.items()} for kind in ("parameters", "effect")
        }
        click.echo(json.dumps({"out": str(out), "seed": seed, **facts}))
        return
    click.echo(f"{out}: {sample}, seed {seed}")
    for title, one in drawn.items():
        effect, numbers = one["effect_lines"], one["drawn_lines"]
        if chosen or voice.verbose:
            click.echo("\n    ".join([f"  {title}", *numbers, *effect]))
        else:  # where joints only change their time, the numbers say more
            click.echo(f"  {title:9} {'; '.join(numbers if one['effect']['farthest'] == 0 else effect)}")
    if not (chosen or voice.verbose or voice.quiet):
        click.echo("  with --augment NAME, or -v, all that was drawn is told here, too")
