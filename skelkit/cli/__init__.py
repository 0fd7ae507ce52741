"""The command `skelkit`: parse, call one function, echo."""

from __future__ import annotations

import click

from skelkit import __version__
from skelkit.cli.augment import augment
from skelkit.cli.base import Commands
from skelkit.cli.convert import convert
from skelkit.cli.interchange import import_
from skelkit.cli.stores import show, verify
from skelkit.cli.synth import synth

__all__ = ["main"]


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="skelkit")
def main() -> None:
    """Raw skeleton recordings to normalised HDF5, and their augmentation."""


for command in (convert, show, verify, import_, augment, synth):
    main.add_command(command)
