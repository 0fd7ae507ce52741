"""The tasks of the paper: a run's encoders, beside untrained ones of the same size and raw coordinates."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Sequence
from dataclasses import asdict, replace
from functools import partial
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from skelkit_train.evaluate.compress import CompressConfig, compress
from skelkit_train.evaluate.curve import Fitted
from skelkit_train.evaluate.features import Encoder, untouched
from skelkit_train.evaluate.finetune import FinetuneConfig, finetune
from skelkit_train.evaluate.fusion import Fusion, apart, fused, run_mark, side_by_side
from skelkit_train.evaluate.linear import LinearConfig, linear, logistic
from skelkit_train.evaluate.results import Evaluation, Row, Trial, file_name, own_name, summarise, write
from skelkit_train.evaluate.retrieval import ranked
from skelkit_train.evaluate.scores import Scores, score
from skelkit_train.evaluate.setting import Candidate, Kind, Setting
from skelkit_train.evaluate.subsets import LabelSubsets

__all__ = ["SHARES", "evaluate_finetune", "evaluate_linear", "evaluate_retrieval", "evaluate_semi"]

SHARES = (1.0, 5.0, 10.0, 20.0, 40.0)
"""Percent of the labels, in the paper's semi-supervised table."""

_COMPARED: tuple[Kind, ...] = ("pretrained", "untrained", "raw coordinates")


def evaluate_linear(
    setting: Setting,
    config: LinearConfig,
    *,
    representation: str | None = None,
    baselines: bool = True,
    fusion: Fusion = "features",
    seeds: int = 1,
    quick: bool = False,
    fresh: bool = False,
) -> Evaluation:
    """Linear evaluation of a run's encoders; see `linear`, and `logistic` for the quick way.

    ``seeds`` trainings from the configuration's seed on, and as many untrained encoders; a finished one is
    not repeated unless ``fresh``.

    Raises
    ------
    ValueError : ``seeds`` of the quick way, which has nothing random
    SkelkitError : the run lacks a representation, a loss is not finite any more, or the disk refuses
    """
    if quick and seeds > 1:
        raise ValueError(f"seeds is {seeds}; expected 1 of the quick way, which has nothing random")
    began = time.perf_counter()
    rows = []
    for candidate in setting.candidates(representation, *(_COMPARED if baselines else _COMPARED[:1])):
        trials = []
        for seed in range(config.seed, config.seed + seeds):
            own, encoder = replace(config, seed=seed), candidate.encoder(seed)
            memory = setting.trials("linear", encoder, fresh, fusion=fusion, quick=quick)
            name = f"linear, {candidate.title}, seed {seed}"
            train = partial(_probed, setting, encoder, own, fusion, quick, name)
            trials.append(memory.recall({"config": asdict(own)}, train))
        rows.append(_row(setting, candidate, None, trials))
    used = {"seed": config.seed} if quick else asdict(config)
    settings = {**used, "fusion": fusion, "seeds": seeds, "quick": quick}
    defaults = {**asdict(LinearConfig()), "fusion": "features", "seeds": 1, "quick": False}
    return _finish(setting, "linear", representation, settings, defaults, rows, began)


def evaluate_retrieval(
    setting: Setting,
    *,
    k: int = 1,
    representation: str | None = None,
    baselines: bool = True,
    fusion: Fusion = "features",
    compressed: bool = False,
    seed: int = 0,
    seeds: int = 1,
) -> Evaluation:
    """Retrieval with a run's encoders; see `retrieval`. With ``compressed`` an autoencoder first compresses
    the features, ``seeds`` times from ``seed`` on; see `compress`. The untrained encoders are as many.

    Raises
    ------
    ValueError : ``seeds`` of features that are not compressed, where nothing is random
    SkelkitError : the run lacks a representation, or the disk refuses
    """
    if seeds > 1 and not compressed:
        raise ValueError(f"seeds is {seeds}; expected 1 without compression, where nothing is random")
    began = time.perf_counter()
    rows = []
    for candidate in setting.candidates(representation, *(_COMPARED if baselines else _COMPARED[:1])):
        trials = [
            _retrieved(setting, candidate.encoder(each), k, fusion, compressed, each)
            for each in range(seed, seed + seeds)
        ]
        rows.append(_row(setting, candidate, None, trials))
    settings = {"k": k, "fusion": fusion, "compressed": compressed, "seed": seed, "seeds": seeds}
    defaults = {"k": 1, "fusion": "features", "compressed": False, "seed": 0, "seeds": 1}
    return _finish(setting, "retrieval", representation, settings, defaults, rows, began)


def evaluate_finetune(
    setting: Setting,
    config: FinetuneConfig,
    *,
    supervised: bool = False,
    representation: str | None = None,
    fusion: Fusion = "features",
    seeds: int = 1,
    fresh: bool = False,
) -> Evaluation:
    """Fine-tuning of a run's encoders with all labels, or with ``supervised`` the same from random weights;
    see `finetune`. On the store of another dataset it is transfer.

    ``seeds`` trainings from the configuration's seed on, which decides the random weights, too; a finished
    one is not repeated unless ``fresh``.

    Raises
    ------
    SkelkitError : the run lacks a representation, a loss is not finite any more, or the disk refuses
    """
    began = time.perf_counter()
    rows = []
    for candidate in setting.candidates(
        representation, "from random weights" if supervised else "pretrained"
    ):
        configs = [replace(config, seed=seed) for seed in range(config.seed, config.seed + seeds)]
        trials = [_finetuned(setting, candidate, own, fusion, fresh, setting.train) for own in configs]
        rows.append(_row(setting, candidate, None, trials))
    settings = {**asdict(config), "fusion": fusion, "seeds": seeds}
    defaults = {**asdict(FinetuneConfig()), "fusion": "features", "seeds": 1}
    task = "supervised" if supervised else "finetune"
    return _finish(setting, task, representation, settings, defaults, rows, began)


def evaluate_semi(
    setting: Setting,
    config: FinetuneConfig,
    *,
    shares: Sequence[float] = SHARES,
    subsets: int = 5,
    listed: LabelSubsets | None = None,
    representation: str | None = None,
    baselines: bool = False,
    fusion: Fusion = "features",
    fresh: bool = False,
) -> Evaluation:
    """Fine-tuning with ``shares`` percent of the labels, on ``subsets`` stratified subsets each, or on those
    ``listed``; their names are written into the run. A finished training is not repeated unless ``fresh``.

    Raises
    ------
    SkelkitError : the run lacks a representation, a listed name is not in the training part, a loss is not
        finite any more, or the disk refuses
    """
    began = time.perf_counter()
    label = setting.sequences.label
    known = {"protocol": setting.protocol, "content_hash": setting.content_hash}
    chosen = (
        [listed]
        if listed
        else [
            LabelSubsets.draw(
                setting.names, label, setting.train, share=share, count=subsets, seed=config.seed, **known
            )
            for share in shares
        ]
    )
    places = [each.places(setting.names, setting.train, setting.protocol) for each in chosen]
    kinds: tuple[Kind, ...] = ("pretrained", "from random weights") if baselines else ("pretrained",)
    candidates = setting.candidates(representation, *kinds)
    mark = listed.digest[:8] if listed else None
    files = []
    for each in chosen:
        which = {"seed": config.seed, "subsets": len(each.subsets), "held": setting.subjects, "listed": mark}
        prefix = f"subsets-{setting.data.stem}-{setting.protocol}-share{each.share:g}"
        file = file_name(prefix, which, {"seed": 0, "subsets": 5, "held": [], "listed": None})
        files.append(own_name(setting.run, file, each.content_hash))
        each.write(setting.run / files[-1])
    rows = []
    for candidate in candidates:
        for each, parts in zip(chosen, places, strict=True):
            trials = [
                _finetuned(setting, candidate, replace(config, seed=config.seed + n), fusion, fresh, part, n)
                for n, part in enumerate(parts)
            ]
            rows.append(_row(setting, candidate, each.share, trials))
    settings = {
        **asdict(config),
        "fusion": fusion,
        "shares": [each.share for each in chosen],
        "subsets": len(chosen[0].subsets),
        "listed": mark,
    }
    defaults = {
        **asdict(FinetuneConfig()),
        "fusion": "features",
        "shares": list(SHARES),
        "subsets": 5,
        "listed": None,
    }
    return _finish(setting, "semi", representation, settings, defaults, rows, began, files)


def _probed(
    setting: Setting, encoder: Encoder, config: LinearConfig, fusion: Fusion, quick: bool, name: str
) -> Trial:
    """One linear evaluation of an encoder."""
    fitted = []
    with untouched(encoder):
        for part in apart(encoder, fusion):
            features = setting.features(part, config.seed)
            if quick:
                tests = {held: features.centre(places) for held, places in setting.held_out.items()}
                train, label = features.centre(setting.train), features.labels(setting.train)
                fitted.append(Fitted(logistic(train, label, tests), []))
                continue
            held_out, progress = dict(setting.held_out), setting.progress
            fitted.append(linear(features, setting.train, held_out, config, progress=progress, name=name))
    return _trial(setting, fused(fitted), config.seed, None)


def _retrieved(
    setting: Setting, encoder: Encoder, k: int, fusion: Fusion, compressed: bool, seed: int
) -> Trial:
    """One retrieval with an encoder."""
    train, test = setting.train, setting.held_out["test"]
    asked = np.concatenate([test, setting.held_out.get("validation", test[:0])])
    with untouched(encoder):
        parts = [setting.features(part) for part in apart(encoder, fusion)]
        label, wanted = parts[0].labels(train), parts[0].labels(asked)
        pairs = [(part.centre(train), part.centre(asked)) for part in parts]
    if compressed:
        how = CompressConfig(seed=seed)
        pairs = [compress(*pair, how, progress=setting.progress) for pair in pairs]
    gallery, query = side_by_side(pairs)
    look = partial(ranked, gallery, gallery_label=label, places=train, k=k)
    found = look(query[: len(test)], label=wanted[: len(test)], progress=setting.progress)
    held_out = None
    if len(asked) > len(test):
        held_out = _numbers(look(query[len(test) :], label=wanted[len(test) :]))
    return Trial(
        top1=found.top1,
        top5=found.top5,
        mean_class=found.mean_class,
        seed=seed,
        subset=None,
        train=len(train),
        predicted=found.predicted,
        mean_average_precision=found.mean_average_precision,
        nearest=[setting.names[place] for place in found.nearest],
        similarity=found.similarity,
        validation=held_out,
    )


def _finetuned(
    setting: Setting,
    candidate: Candidate,
    config: FinetuneConfig,
    fusion: Fusion,
    fresh: bool,
    train: NDArray[np.int64],
    subset: int | None = None,
) -> Trial:
    """One training on the places ``train`` (n,), unless it was finished before."""
    encoder, percent = candidate.encoder(config.seed), 100 * len(train) / len(setting.train)
    title = f"{candidate.title}, {percent:.0f}% labels, seed {config.seed}"

    def compute() -> Trial:
        fitted = [
            finetune(
                setting.sequences,
                part,
                setting.checkpoint.config.frames,
                train,
                dict(setting.held_out),
                config,
                progress=setting.progress,
                name=title,
            )
            for part in apart(encoder, fusion)
            if isinstance(part, nn.Module)
        ]
        return replace(_trial(setting, fused(fitted), config.seed, subset), train=len(train))

    names = hashlib.sha256("\n".join(setting.names[place] for place in train).encode()).hexdigest()
    memory = setting.trials("finetune", encoder, fresh, fusion=fusion)
    trial = memory.recall({"config": asdict(config), "train": names}, compute)
    return replace(trial, subset=subset)


def _trial(setting: Setting, fitted: Fitted, seed: int, subset: int | None) -> Trial:
    found = {part: _score(setting, part, logits) for part, logits in fitted.logits.items()}
    test = found["test"]
    scored = [row for row in fitted.curve if "test" in row]
    best = max(scored, key=lambda row: row["test"], default=None)
    return Trial(
        top1=test.top1,
        top5=test.top5,
        mean_class=test.mean_class,
        seed=seed,
        subset=subset,
        train=len(setting.train),
        predicted=test.predicted,
        best_on_test={"epoch": best["epoch"], "top1": best["test"]} if best else None,
        validation=_numbers(found["validation"]) if "validation" in found else None,
        curve=fitted.curve,
    )


def _score(setting: Setting, part: str, logits: Tensor) -> Scores:
    classes = len(setting.classes)
    label = torch.from_numpy(setting.sequences.label[setting.held_out[part]]).to(logits.device)
    return score(logits.topk(min(5, logits.shape[1]), dim=1).indices, label, classes)


def _numbers(scores: Scores) -> dict[str, float]:
    return {"top1": scores.top1, "top5": scores.top5, "mean_class": scores.mean_class}


def _row(setting: Setting, candidate: Candidate, share: float | None, trials: list[Trial]) -> Row:
    label = setting.sequences.label[setting.held_out["test"]].tolist()
    return summarise(candidate.kind, candidate.representation, share, trials, label, len(setting.classes))


def _finish(
    setting: Setting,
    task: str,
    representation: str | None,
    settings: dict[str, Any],
    defaults: dict[str, Any],
    rows: list[Row],
    began: float,
    subset_files: Sequence[str] = (),
) -> Evaluation:
    """The evaluation, written into the run."""
    test = setting.held_out["test"]
    label = setting.sequences.label[test]
    trained = np.unique(setting.sequences.label[setting.train])
    settings = {**settings, "subjects": len(setting.subjects)}
    if setting.others:
        representation = rows[0].representation
    marks = [run_mark(other.run) for other in setting.others]
    what = [f"eval-{task}", setting.data.stem, setting.protocol, representation, *marks]
    file = file_name("-".join(part for part in what if part), settings, {**defaults, "subjects": 0})
    return write(
        Evaluation(
            task=task,
            run=str(setting.run),
            data=str(setting.data),
            content_hash=setting.content_hash,
            protocol=setting.protocol,
            pretrained_on=_pretrained_on(setting),
            test_seen=setting.seen,
            representation=representation,
            epoch=setting.checkpoint.epoch,
            train=len(setting.train),
            test=len(test),
            validation=len(setting.held_out.get("validation", ())),
            subjects_held_out=setting.subjects,
            chance=float(np.isin(label, trained).mean() / len(trained)),
            settings=settings,
            classes=setting.classes,
            test_samples={"name": [setting.names[place] for place in test], "label": label.tolist()},
            subset_files=list(subset_files),
            rows=rows,
            seconds=round(time.perf_counter() - began, 3),
            file=own_name(setting.run, file, setting.content_hash),
            fused_with=[
                {
                    "run": str(other.run),
                    "epoch": other.checkpoint.epoch,
                    "pretrained_on": _pretrained_on(other),
                    "test_seen": other.seen,
                }
                for other in setting.others
            ],
        )
    )


def _pretrained_on(setting: Setting) -> dict[str, str] | None:
    content_hash = setting.checkpoint.data.content_hash
    return (
        {"content_hash": content_hash, "protocol": setting.checkpoint.config.protocol}
        if content_hash
        else None
    )
