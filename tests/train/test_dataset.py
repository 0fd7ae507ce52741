"""A store's views in somebody else's training loop: the same bits wherever they are made."""

from __future__ import annotations

import pickle
import subprocess
import sys

import numba
import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader, Subset

from skelkit.augment import ISC, CentreCrop, Compose, Crop, Noise, Resample, Shear
from skelkit.datasets import ListedSplit
from skelkit.errors import SkelkitError, StoreError
from skelkit.skeleton import load_layout
from skelkit.store import Shard, Store
from skelkit.views import STREAMS
from skelkit_train import SkeletonDataset
from skelkit_train.data import Sequences
from skelkit_train.evaluate.features import centre_views

QUICK = Compose((Crop(0.5, 1.0, 8), Resample(16), Shear()))
FORKING = """
import sys
import torch
from torch.utils.data import DataLoader
from skelkit.augment import ISC
from skelkit_train import SkeletonDataset

def views(dataset, workers):
    loader = DataLoader(dataset, 16, num_workers=workers, multiprocessing_context="fork" if workers else None)
    return torch.cat([batch for batch, _, _ in loader])

dataset = SkeletonDataset(sys.argv[1], transform=ISC, seed=3)
print(torch.equal(views(dataset, 0), views(dataset, 2)))
"""


@pytest.fixture(autouse=True)
def layer(monkeypatch):
    """What a dataset chooses for numba holds for the process: not beyond a test here."""
    monkeypatch.setattr(numba.config, "THREADING_LAYER", numba.config.THREADING_LAYER)


def sequences(path):
    with Store(path) as store:
        return Sequences.load(store, 2, torch.device("cpu"))


@pytest.mark.parametrize("resident", [False, True])
@pytest.mark.parametrize("stream", STREAMS)
def test_items_are_the_views_of_training(ntu, stream, resident):
    options = {"transform": ISC, "views": 2, "stream": stream, "seed": 5, "resident": resident}
    dataset = SkeletonDataset(ntu, "xsub", "test", **options)
    dataset.set_epoch(7)
    data = sequences(ntu)
    with Store(ntu) as store:
        places = store.part("xsub", train=False)
    query, key = (data.views(places, ISC, seed=5, epoch=7, view=view, stream=stream) for view in range(2))
    assert len(dataset) == len(places)
    for n, ((first, second), label, index) in enumerate(dataset):
        assert torch.equal(first, query[n])
        assert torch.equal(second, key[n])
        assert (label, index) == (data.label[places[n]], n)


def test_by_default_one_view_as_in_testing_of_everything(ntu):
    dataset = SkeletonDataset(ntu)
    views, labels, index = next(iter(DataLoader(dataset, 32)))
    assert torch.equal(views, sequences(ntu).views(np.arange(32), centre_views(64), seed=0))
    assert (dataset.frames, dataset.bodies, dataset.layout) == (64, 2, load_layout("ntu25"))
    assert labels.dtype == torch.int64
    assert index.tolist() == list(range(32))
    assert SkeletonDataset(ntu, frames=16, bodies=1)[3][0].shape == (16, 1, 25, 3)


def test_parts_names_and_classes(ntu):
    parts = {part: SkeletonDataset(ntu, "xsub", part) for part in ("train", "test", "all")}
    assert {part: len(dataset) for part, dataset in parts.items()} == {"train": 24, "test": 8, "all": 32}
    assert sorted(parts["train"].names + parts["test"].names) == parts["all"].names
    for dataset in parts.values():
        assert [f"A{label:02}" for label in dataset.labels] == [name[:3] for name in dataset.names]
        assert dataset.classes == ["class 1", "class 2", "class 3", "class 4"]


def test_classes_have_the_names_of_the_dataset(ntu, rewritten):
    named = rewritten(ntu, classes=("drink", "eat", "brush", "comb", "drop"))
    assert SkeletonDataset(named, "xsub", "test").classes == ["drink", "eat", "brush", "comb"]


def test_sequences_of_neither_part_are_left_out(ntu, rewritten):
    few = ListedSplit(frozenset({"A00R03"}), frozenset({"A02R01", "A01R00"}), "lists.txt")
    store = rewritten(ntu, protocols={"few": few})
    assert SkeletonDataset(store, "few", "all").names == ["A00R03", "A01R00", "A02R01"]


def test_epochs_and_seeds_change_the_views(ntu):
    dataset = SkeletonDataset(ntu, transform=QUICK)
    first = dataset[4][0]
    dataset.set_epoch(1)
    assert dataset.epoch == 1
    assert not torch.equal(dataset[4][0], first)
    dataset.set_epoch(0)
    assert torch.equal(dataset[4][0], first)
    assert not torch.equal(SkeletonDataset(ntu, transform=QUICK, seed=1)[4][0], first)


def test_an_item_does_not_depend_on_its_batch(ntu):
    dataset = SkeletonDataset(ntu, "xsub", "train", transform=QUICK)
    shuffled = Subset(dataset, [7, 2, 23])
    ((views, labels, index),) = DataLoader(shuffled, 3)
    assert index.tolist() == [7, 2, 23]
    for n, place in enumerate(index):
        view, label, _ = dataset[place]
        assert torch.equal(views[n], view)
        assert labels[n] == label


@pytest.mark.parametrize("resident", [False, True])
def test_workers_make_the_same_bits_and_follow_the_epoch(ntu, resident):
    options = {"transform": QUICK, "views": 2, "resident": resident}
    here = SkeletonDataset(ntu, "xsub", "train", **options)
    there = SkeletonDataset(ntu, "xsub", "train", **options)
    there[0]  # open while workers start
    spawned = {"num_workers": 2, "multiprocessing_context": "spawn", "persistent_workers": True}
    loader = DataLoader(there, 7, **spawned)
    seen = []
    for epoch in (0, 1):
        here.set_epoch(epoch)
        there.set_epoch(epoch)
        for ours, theirs in zip(DataLoader(here, 7), loader, strict=True):
            for mine, other in zip([*ours[0], *ours[1:]], [*theirs[0], *theirs[1:]], strict=True):
                assert torch.equal(mine, other)
            seen.append(theirs[0][0])
    assert not torch.equal(seen[0], seen[len(seen) // 2])


@pytest.mark.skipif(sys.platform != "linux", reason="forks are what DataLoader does on Linux")
def test_forked_workers_make_the_same_bits_after_views_were_made(ntu):
    done = subprocess.run([sys.executable, "-c", FORKING, str(ntu)], capture_output=True, text=True)
    assert done.stdout == "True\n", done.stderr


def test_threads_make_the_same_bits(ntu):
    code = f"""{FORKING}
from concurrent.futures import ThreadPoolExecutor
with ThreadPoolExecutor(3) as pool:
    made = list(pool.map(dataset.__getitems__, [list(range(16))] * 12))
print(all(torch.equal(a[0], b[0]) for items in made for a, b in zip(items, made[0])))
"""
    done = subprocess.run([sys.executable, "-c", code, str(ntu)], capture_output=True, text=True)
    assert done.stdout == "True\nTrue\n", done.stderr


@pytest.mark.skipif(sys.platform != "linux", reason="forks are what DataLoader does on Linux")
def test_forked_workers_that_numba_would_kill_say_so(ntu):
    numba_on_openmp = f"import numba\nnumba.config.THREADING_LAYER = 'omp'\n{FORKING}"
    done = subprocess.run([sys.executable, "-c", numba_on_openmp, str(ntu)], capture_output=True, text=True)
    assert done.returncode == 1
    assert (
        "SkelkitError: this worker was forked from a process in which numba has run on OpenMP" in done.stderr
    )


@pytest.mark.parametrize("resident", [False, True])
def test_closed_and_pickled_it_goes_on(ntu, resident):
    dataset = SkeletonDataset(ntu, transform=QUICK, resident=resident)
    dataset.set_epoch(2)
    view = dataset[5][0]
    copy = pickle.loads(pickle.dumps(dataset))
    assert torch.equal(copy[5][0], view)
    dataset.close()
    assert torch.equal(dataset[5][0], view)
    copy.set_epoch(3)
    assert dataset.epoch == 2


def test_a_pickle_of_a_streamed_dataset_has_none_of_the_joints(ntu):
    dataset = SkeletonDataset(ntu)
    dataset[0]
    assert len(pickle.dumps(dataset)) < ntu.stat().st_size / 10


def test_a_store_that_was_written_anew_meanwhile(make_store, tmp_path):
    path = make_store(tmp_path / "ntu.h5")
    dataset = SkeletonDataset(path)
    make_store(path, classes=3)
    with pytest.raises(StoreError, match=r"ntu\.h5: its content has changed since the dataset was made"):
        dataset[0]


def test_no_such_item(ntu):
    with pytest.raises(IndexError):
        SkeletonDataset(ntu, "xsub", "test")[8]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"part": "valid"}, "no part 'valid'; expected train, test, all"),
        ({"part": "train"}, "a train part is that of a protocol; .* has xsub"),
        ({"views": 0}, "views is 0, expected 1 or more"),
        ({"bodies": -1}, "bodies is -1, expected 0 or more"),
        ({"seed": -1}, "seed is -1, expected 0 or more"),
        ({"stream": "bones"}, "no stream 'bones'; expected joint, bone, motion"),
        ({"frames": 0}, "resample: to 0 frames, expected 1 or more"),
        (
            {"frames": 32, "transform": ISC},
            r"frames is 32, but the transform resamples; give it Resample\(32\)",
        ),
        ({"transform": CentreCrop()}, "do not stack; end the augmentation in a resampling"),
        ({"transform": Compose((Noise(), Resample(8)))}, "resample must come before noise"),
    ],
)
def test_arguments_out_of_range(ntu, arguments, message):
    with pytest.raises(ValueError, match=message):
        SkeletonDataset(ntu, **arguments)


def test_an_epoch_below_zero(ntu):
    with pytest.raises(ValueError, match="epoch is -1, expected 0 or more"):
        SkeletonDataset(ntu).set_epoch(-1)


def test_errors_of_the_store(ntu, rewritten, tmp_path):
    with pytest.raises(StoreError, match=r"ntu\.h5: no protocol 'xview'; it has xsub"):
        SkeletonDataset(ntu, "xview", "train")
    with pytest.raises(StoreError, match="no such file"):
        SkeletonDataset(tmp_path / "ntu.h5")
    with pytest.raises(SkelkitError, match="shard 1 of 2; skelkit merge puts them together"):
        SkeletonDataset(rewritten(ntu, shard=Shard(1, 2, "")))
