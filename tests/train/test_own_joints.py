"""A dataset with joints of its own goes the whole way: npz and TOML to a trained and evaluated encoder."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from click.testing import CliRunner

import skelkit.cli
import skelkit_train.cli
from skelkit_train.config import PretrainConfig

LAYOUT = """
joints = ["hip", "spine", "neck", "head", "left hand", "right hand", "left foot", "right foot", "tail"]
bones = [[0, 1], [2, 1], [3, 2], [4, 2], [5, 2], [6, 0], [7, 0], [8, 0]]
mirror = [[4, 5], [6, 7]]
centre = 1
spine = [0, 1]
shoulders = [5, 4]
"""


def test_from_own_joints_to_a_score(tmp_path: Path, tiny: Callable[..., PretrainConfig]) -> None:
    (tmp_path / "cat.toml").write_text(LAYOUT)
    (tmp_path / "tiny.toml").write_text(tiny().to_toml())
    generator = np.random.default_rng(0)
    length = generator.integers(20, 60, 24)
    np.savez(
        tmp_path / "cats.npz",
        joints=generator.normal(size=(length.sum(), 9, 3)).astype(np.float32),
        length=length,
        name=np.array([f"cat{n:02}" for n in range(24)]),
        label=np.arange(24) % 3,
        cat=np.arange(24) % 4,
    )
    store, run = tmp_path / "cats.h5", tmp_path / "run"

    def call(main: object, *arguments: object) -> dict[str, Any]:
        result = CliRunner().invoke(main, [*map(str, arguments), "--json"])  # type: ignore[arg-type]
        assert result.exit_code == 0, result.output
        return json.loads(result.stdout)

    given = ("--from", "npz", "--skeleton", tmp_path / "cat.toml", "--protocol", "xcat=cat:0-2")
    assert call(skelkit.cli.main, "import", tmp_path / "cats.npz", *given, "-o", store)["kept"] == 24
    three = ("--representations", "seq+graph+image", "--config", tmp_path / "tiny.toml")
    train = skelkit_train.cli.main
    call(train, "pretrain", store, "--protocol", "xcat", *three, "--device", "cpu", "-o", run)
    for task in ("retrieval", "linear"):
        for representation in ("seq", "graph", "image"):
            more = ("--representation", representation, "--device", "cpu")
            more += ("--epochs", 2) if task == "linear" else ()
            scores = call(train, "eval", task, run, store, "--protocol", "xcat", *more)
            assert (scores["train"], scores["test"]) == (18, 6)
            assert {row["representation"] for row in scores["rows"]} >= {representation}
