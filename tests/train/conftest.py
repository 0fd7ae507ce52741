"""Golden arrays of the paper's own models and the weights they were made with; small stores and runs."""

from __future__ import annotations

import ast
import shutil
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from published_models import state_dict
from runs import setting
from torch import Tensor

from skelkit.datasets import Protocol
from skelkit.normalise import RECIPES
from skelkit.sequence import SkeletonSequence
from skelkit.skeleton import load_layout
from skelkit.store import Header, Store, write_store
from skelkit_train.config import PretrainConfig, resolve
from skelkit_train.evaluate.linear import LinearConfig
from skelkit_train.evaluate.tasks import evaluate_linear, evaluate_retrieval
from skelkit_train.pretrain import pretrain

Weights = Callable[[Iterable[str]], dict[str, Tensor]]
MakeStore = Callable[..., Path]

CPU = torch.device("cpu")
TINY: Mapping[str, object] = {
    "representations": "seq",
    "frames": 16,
    "crop_low": 0.5,
    "crop_shortest": 8,
    "gru_hidden": 8,
    "gru_layers": 1,
    "agcn_widths": [8, 16],
    "hcn_channels": 4,
    "embedding": 16,
    "queue": 32,
    "momentum": 0.9,
    "optimizer": "adamw",
    "learning_rate": 3e-3,
    "batch_size": 8,
    "epochs": 2,
    "milestones": [2],
    "checkpoint_every": 1,
}


@pytest.hookimpl(tryfirst=True)  # before the fixtures, some of which train
def pytest_runtest_setup() -> None:
    """The models here are too small for several threads; and what a child process computes is the same to the
    bit. Before every test, as numba's first loop in a process, in any test, gives torch another number."""
    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def make_store() -> MakeStore:
    """Writes a store of moving skeletons."""
    return _make_store


def _make_store(
    path: Path, layout: str = "ntu25", classes: int = 4, repeats: int = 8, recipe: str = "raw", label: int = 0
) -> Path:
    """Each class bends its own joints at its own pace; frames from 1 on, one body and two by turns.

    Protocol xsub: of 4 subjects, the first three train. ``label`` is added to every label.
    """
    skeleton = load_layout(layout)
    rng = np.random.default_rng(7)
    body = rng.normal(size=(skeleton.size, 3))
    bends = rng.normal(size=(classes, skeleton.size, 3))
    sequences = []
    for action in range(classes):
        for repeat in range(repeats):
            frames = [1, 2, 70][repeat] if action == 0 and repeat < 3 else int(rng.integers(20, 60))
            bodies = 1 + (action + repeat) % 2
            time = np.arange(frames)[:, None, None, None] / 20
            pose = body + bends[action] * (1 + 0.5 * np.sin((1 + action) * time + rng.uniform(0, 6)))
            joints = pose + 0.3 * rng.normal(size=(1, bodies, 1, 3)) + 0.05 * rng.normal(size=(bodies, 1, 3))
            sequences.append(
                SkeletonSequence(
                    joints.astype(np.float32),
                    np.ones((frames, bodies), np.bool_),
                    f"A{action:02}R{repeat:02}",
                    action + label,
                    {"subject": 1 + repeat % 4},
                )
            )
    protocols = {"xsub": Protocol("subject", frozenset([1, 2, 3]))}
    write_store(path, sequences, Header("made up", skeleton, RECIPES[recipe].describe(), (), protocols))
    return path


@pytest.fixture
def rewritten(tmp_path: Path) -> MakeStore:
    """Writes a store's sequences again, ``mark`` at the end of their names, some of the header changed."""

    def write(path: Path, mark: str = "", **fields: object) -> Path:
        out = tmp_path / "rewritten.h5"
        protocols = {"xsub": Protocol("subject", frozenset([1, 2, 3]))}
        with Store(path) as store:
            header = Header(store.dataset, store.layout, store.recipe, store.classes, protocols)
            sequences = [replace(sequence, name=sequence.name + mark) for sequence in store]
            write_store(out, sequences, replace(header, **fields))  # type: ignore[arg-type]
        return out

    return write


@pytest.fixture(scope="session")
def ntu(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """32 sequences, 24 of them for training."""
    return _make_store(tmp_path_factory.mktemp("store") / "ntu.h5")


@pytest.fixture(scope="session")
def kinect(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return _make_store(tmp_path_factory.mktemp("store") / "kinect.h5", layout="kinect20")


@pytest.fixture(scope="session")
def tiny() -> Callable[..., PretrainConfig]:
    """A configuration that trains in a moment; some fields can be given."""
    return lambda **fields: resolve(TINY, fields)


@pytest.fixture(scope="session")
def run(tmp_path_factory: pytest.TempPathFactory, ntu: Path) -> Path:
    """Three epochs of seq+graph on `ntu`, checkpoints after the last two. Not to be written into."""
    folder = tmp_path_factory.mktemp("runs") / "isc"
    config = resolve(TINY, {"representations": "seq+graph", "epochs": 3})
    pretrain(ntu, folder, config, device=CPU, progress=False)
    return folder


@pytest.fixture
def own_run(run: Path, tmp_path: Path) -> Path:
    """A copy of `run` to write into."""
    return Path(shutil.copytree(run, tmp_path / "isc"))


@pytest.fixture
def evaluated(own_run: Path, ntu: Path) -> Path:
    """`own_run` with a linear evaluation of two seeds, and one of retrieval."""
    where = setting(own_run, ntu)
    evaluate_linear(where, LinearConfig(epochs=3), representation="seq", seeds=2)
    evaluate_retrieval(where)
    return own_run


@pytest.fixture
def published_state(formula_weights: Weights) -> Callable[..., dict[str, Tensor]]:
    """Makes a state dict of the published code in small sizes, without ``module.``."""
    return partial(state_dict, formula_weights)


@pytest.fixture
def published(published_state: Callable[..., dict[str, Tensor]], tmp_path: Path) -> Callable[..., Path]:
    """Writes a checkpoint as the published code does, of a state dict that can be changed before."""

    def write(
        representations: str = "seq+graph",
        *,
        change: Callable[[dict[str, Tensor]], object] | None = None,
        **options: object,
    ) -> Path:
        state = published_state(representations, **options)
        if change:
            change(state)
        content = {
            "epoch": 451,
            "state_dict": {f"module.{name}": value for name, value in state.items()},
            "optimizer": {"state": {0: {"momentum_buffer": torch.zeros(3)}}, "param_groups": [{"lr": 1e-3}]},
        }
        path = tmp_path / "checkpoint_0450.pth.tar"
        torch.save(content, path)
        return path

    return write


@pytest.fixture(scope="session")
def golden() -> Mapping[str, NDArray[np.generic]]:
    """What is in ``golden/models.npz``, which lies beside the checkout on developers' machines only."""
    path = Path(__file__).parents[3] / "shared" / "golden" / "models.npz"
    if not path.exists():
        pytest.skip(f"no golden arrays of the published models: {path} is not on this machine")
    with np.load(path) as arrays:
        return dict(arrays)


@pytest.fixture(scope="session")
def formula_weights() -> Weights:
    """From lines ``name (shape)`` the state dict that the golden models were given (golden/README.md)."""
    return _formula_weights


def _formula_weights(lines: Iterable[str]) -> dict[str, Tensor]:
    shapes = {name: ast.literal_eval(shape) for name, shape in (str(line).split(" ", 1) for line in lines)}
    return {name: _weight(name, shapes[name], k) for k, name in enumerate(sorted(shapes))}


def _weight(name: str, shape: tuple[int, ...], k: int) -> Tensor:
    if "num_batches_tracked" in name or "ptr" in name:
        return torch.zeros(shape, dtype=torch.long)
    size = int(np.prod(shape))
    x = (np.arange(size, dtype=np.uint64) + 1 + 7919 * k) * 2654435761 % 2**32
    x = (x ^ (x >> 16)) * 2246822519 % 2**32
    x = (x ^ (x >> 13)) * 3266489917 % 2**32
    noise = (x ^ (x >> 16)) / 2**31 - 1
    if name.endswith("running_var"):
        value = 1 + 0.1 * noise
    elif name.endswith("PA"):
        value = 0.1 * noise
    elif len(shape) >= 2:
        value = noise * np.sqrt(3 / (size // shape[0]))
    elif name.endswith("weight"):
        value = 1 + 0.1 * noise
    else:
        value = 0.1 * noise
    return torch.from_numpy(value.reshape(shape).astype(np.float32))
