"""The command `skelkit-train`: parse, call one function, echo."""

from __future__ import annotations

import click

from skelkit import __version__
from skelkit_train.cli.base import PRESET_NAMES, REPRESENTATION_NAMES, TrainCommands, plain_warnings
from skelkit_train.cli.encoders import embed, export
from skelkit_train.cli.evaluate import evaluate
from skelkit_train.cli.pretrain import import_checkpoint, pretrain
from skelkit_train.cli.report import report

__all__ = ["PRESET_NAMES", "REPRESENTATION_NAMES", "main"]


@click.group(cls=TrainCommands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="skelkit-train")
@click.pass_context
def main(context: click.Context) -> None:
    """Contrastive pretraining on skeleton stores, and its evaluation."""
    context.with_resource(plain_warnings())


for command in (pretrain, import_checkpoint, evaluate, embed, export, report):
    main.add_command(command)
