"""What evaluation sees of a sequence: the views, and the features of an encoder that stays as it is."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from runs import CPU, random

from skelkit.skeleton import load_layout
from skelkit.store import Store
from skelkit.views import DrawKey, identity
from skelkit_train.checkpoint import load_latest
from skelkit_train.data import Sequences
from skelkit_train.evaluate.features import (
    Features,
    Joined,
    centre_views,
    random_views,
    raw_coordinates,
    untouched,
)


def test_centre_views_follow_the_papers_arithmetic():
    frames = np.arange(1, 400)
    key = DrawKey(0, 0, frames, frames)
    view = centre_views(64).draw(key, identity(frames, load_layout("ntu25"), bodies=1))
    start = np.array([int((1 - 0.95) * T / 2) for T in frames])
    assert np.array_equal(view.start, start)
    assert np.array_equal(view.length, frames - 2 * start)
    assert view.frames == 64
    assert np.array_equal(view.maps, np.broadcast_to(np.eye(3), view.maps.shape))


def test_random_views_are_crops_of_half_or_more_and_nothing_else():
    frames = np.full(2000, 200)
    view = random_views(64).draw(
        DrawKey(0, 0, np.arange(2000), 0 * frames), identity(frames, load_layout("ntu25"), bodies=1)
    )
    assert view.length.min() in range(100, 102)
    assert view.length.max() in range(198, 201)
    assert (view.start + view.length <= 200).all()
    assert np.array_equal(view.maps, np.broadcast_to(np.eye(3), view.maps.shape))


@pytest.mark.parametrize("frames", [10, 64, 70, 100])
def test_random_views_of_short_sequences_are_whole(frames):
    lengths = np.full(200, frames)
    key = DrawKey(0, 0, np.arange(200), 0 * lengths)
    view = random_views(64).draw(key, identity(lengths, load_layout("ntu25"), bodies=1))
    assert view.length.min() == min(frames, 64)


def test_random_features_are_new_every_epoch_and_centre_features_are_not(ntu):
    with Store(ntu) as store:
        features = Features(Sequences.load(store, 2, CPU), raw_coordinates, 16, seed=0)
    places = np.array([9, 4])
    assert not torch.equal(features.random(places, 0), features.random(places, 1))
    assert torch.equal(features.random(places, 1), features.random(places, 1))
    assert torch.equal(features.centre(places), features.centre(places))
    assert features.labels(places).tolist() == [1, 0]


def test_joined_features_are_side_by_side_and_of_the_same_views(ntu, run):
    model = load_latest(run).restore_model(CPU)
    encoders = {name: model.encoder(name) for name in ("seq", "graph")}
    with Store(ntu) as store:
        data = Sequences.load(store, 2, CPU)
    joined, places = Features(data, Joined(encoders), 16, 0), np.array([3, 1])
    parts = [Features(data, encoder, 16, 0) for encoder in encoders.values()]
    for view in ("centre", "random"):
        arguments = (places,) if view == "centre" else (places, 4)
        wanted = torch.cat([getattr(part, view)(*arguments) for part in parts], dim=1)
        assert torch.equal(getattr(joined, view)(*arguments), wanted)


def test_a_frozen_encoder_that_changes_is_found_out():
    norm = torch.nn.BatchNorm1d(3)
    with untouched(norm):
        norm.eval()(random(4, 3))
    with pytest.raises(RuntimeError, match="frozen encoder was changed"), untouched(norm):
        norm.train()(random(4, 3))  # its running statistics alone
    with untouched(raw_coordinates):
        pass
