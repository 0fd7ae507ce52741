"""Train and evaluate on two small real datasets, row by row as the paper's tables, and write docs/results.md.

    python tools/real_data.py NUCLA.npz WMFT.npz OUT [--seeds 3] [--jobs 2] [--only TEXT]...

NUCLA.npz and WMFT.npz are plain npz files (see data/README.md) of Northwestern-UCLA (Wang et al. 2014; 20
joints, cameras 1 and 2 train) and of Wolf Motor Function Test recordings (25 joints, subjects 1 to 16 train).
The encoders are those of ``--preset small``, trained with its settings and with the paper's, for as many
epochs. Each figure goes into docs/results.json as soon as it is measured, and is not measured again while
its configuration stays; an interrupted training goes on. ``--only`` takes the experiments whose names contain
all the texts.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import math
import os
import statistics
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import asdict, dataclass
from itertools import product
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from skelkit.files import replacing
from skelkit_train.config import PRESETS, PretrainConfig, resolve

os.environ["OMP_NUM_THREADS"] = os.environ["NUMBA_NUM_THREADS"] = "1"  # here and in all workers

DOCS = Path(__file__).parents[1] / "docs"
DATASETS = {
    "N-UCLA": ("kinect20", "xview", "xview=camera:1,2"),
    "WMFT": ("ntu25", "xsub", "xsub=subject:1-16"),
}
SETTINGS: dict[str, dict[str, Any]] = {
    "small": {},
    "paper": {
        "frames": 64,
        "crop_low": 0.1,
        "crop_shortest": 64,
        "shear_strength": 1.0,
        "jitter_strength": 1.0,
        "gru_direction": "forward",
        "hcn_dropout": 0.5,
        "queue": 16384,
        "momentum": 0.999,
        "temperature": 0.07,
        "optimizer": "sgd",
        "learning_rate": 0.01,
        "weight_decay": 1e-4,
        "batch_size": 64,
        "milestones": [47],  # of 60, as 351 of 451
        "precision": "bfloat16",  # as on a GPU, and on a CPU that has such units half of the time
    },
}
WHOLE = {"crop_low": 1.0, "crop_high": 1.0}
AUGMENTATIONS: dict[str, dict[str, Any]] = {
    "none": {**WHOLE, "spatial": ""},
    "shear alone": {**WHOLE, "spatial": "shear"},
    "jitter alone": {**WHOLE, "spatial": "jitter"},
    "temporal": {"spatial": ""},
    "temporal + shear": {"spatial": "shear"},
    "temporal + jitter": {"spatial": "jitter"},
}
CONTRASTS = ("seq", "image", "seq+image", "graph", "graph+image", "seq+graph", "seq+graph+image")
SHARES = (5.0, 20.0)
SUBSETS = 5


@dataclass(frozen=True)
class Experiment:
    """One pretraining, and all that is measured of it."""

    dataset: str
    settings: str
    representations: str
    augmentation: str
    """``all``, or a key of `AUGMENTATIONS`."""
    seed: int

    @property
    def name(self) -> str:
        parts = (self.dataset, self.settings, self.representations, self.augmentation, f"seed {self.seed}")
        return ", ".join(parts)


def experiments(seeds: int) -> Iterator[Experiment]:
    """All, the wanted settings first; each augmentation alone only with these."""
    for settings, dataset, seed in product(SETTINGS, DATASETS, range(seeds)):
        for representations in CONTRASTS:
            yield Experiment(dataset, settings, representations, "all", seed)
        if settings == "small":
            for representation, augmentation in product(("seq", "image"), AUGMENTATIONS):
                yield Experiment(dataset, settings, representation, augmentation, seed)


def configuration(experiment: Experiment) -> PretrainConfig:
    return resolve(
        PRESETS["small"],
        SETTINGS[experiment.settings],
        AUGMENTATIONS.get(experiment.augmentation, {}),
        {"representations": experiment.representations, "protocol": DATASETS[experiment.dataset][1]},
        {"seed": experiment.seed},
    )


def digest(experiment: Experiment) -> str:
    """Of its configuration: figures of another one are measured again."""
    text = json.dumps(asdict(configuration(experiment)), sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:8]


def wanted(experiment: Experiment) -> list[str]:
    """The tasks; the long ones not in the ablation."""
    tasks = ["retrieval", "linear"]
    if experiment.settings == "small" and experiment.augmentation == "all":
        tasks += ["linear, paper's probe", "semi"]
        if "+" not in experiment.representations:
            tasks.append("supervised")
    return tasks


def measure(experiment: Experiment, tasks: list[str], store: Path, out: Path) -> list[dict[str, Any]]:
    """Pretrain and evaluate; one dictionary a figure."""
    import torch

    from skelkit_train.evaluate.finetune import FinetuneConfig
    from skelkit_train.evaluate.linear import LinearConfig
    from skelkit_train.evaluate.setting import open_setting
    from skelkit_train.evaluate.tasks import (
        evaluate_finetune,
        evaluate_linear,
        evaluate_retrieval,
        evaluate_semi,
    )
    from skelkit_train.pretrain import pretrain

    torch.set_num_threads(1)
    device, protocol = torch.device("cpu"), DATASETS[experiment.dataset][1]
    run = out / f"{experiment.name.replace(', ', '_').replace(' ', '-')}_{digest(experiment)}"
    pretrain(
        store,
        run,
        configuration(experiment),
        device=device,
        resume=(run / "config.toml").exists(),
        progress=False,
    )

    setting = open_setting(run, store, protocol, device=device)
    asked = {"representation": experiment.representations}
    beside = {"baselines": experiment.augmentation == "all" and "+" not in experiment.representations}
    linear = LinearConfig(seed=experiment.seed)
    # With so few steps an epoch the paper's 50 epochs at 1e-4 do not come far.
    tuning = FinetuneConfig(epochs=100, learning_rate=1e-3, score_every=100, seed=experiment.seed)
    evaluations = {
        "retrieval": lambda: evaluate_retrieval(setting, seed=experiment.seed, **asked, **beside),
        "linear": lambda: evaluate_linear(setting, linear, quick=True, **asked, **beside),
        "linear, paper's probe": lambda: evaluate_linear(setting, linear, **asked, **beside),
        "supervised": lambda: evaluate_finetune(setting, tuning, supervised=True, **asked),
        "semi": lambda: evaluate_semi(setting, tuning, shares=SHARES, subsets=SUBSETS, **asked),
    }
    found = {task: evaluations[task]() for task in tasks}
    return [
        {
            "task": task,
            "encoder": row.encoder,
            "share": row.share,
            "top1": row.top1,
            "deviation": row.deviation and row.deviation["top1"],
        }
        for task, evaluation in found.items()
        for row in evaluation.rows
    ]


def imported(dataset: str, file: Path, out: Path) -> Path:
    """The store, made by the command."""
    layout, _, rule = DATASETS[dataset]
    store = out / f"{dataset}.h5"
    if not store.exists():
        command = [sys.executable, "-m", "skelkit", "import", file, "--from", "npz", "--skeleton", layout]
        subprocess.run([*command, "--protocol", rule, "--recipe", "isc", "-o", store], check=True)
    return store


def table(dataset: str, rows: list[dict[str, Any]]) -> Iterator[str]:
    """Markdown: mean and standard deviation over the seeds (and subsets), percent, and their number."""

    def cell(task: str, settings: str, share: float | None = None, **wanted: str) -> str:
        wanted |= {"task": task, "settings": settings, "dataset": dataset}
        chosen = [r for r in rows if r["share"] == share and all(r[key] == v for key, v in wanted.items())]
        if not chosen:
            return ""
        subsets = SUBSETS if share else 1
        mean, number = statistics.mean(row["top1"] for row in chosen), subsets * len(chosen)
        squares = sum(
            (subsets - 1) * (row["deviation"] or 0) ** 2 + subsets * (row["top1"] - mean) ** 2
            for row in chosen
        )
        over = f" ± {100 * math.sqrt(squares / (number - 1)):.1f}" if number > 1 else ""
        return f"{100 * mean:.1f}{over} ({number})"

    def line(title: str, **wanted: str) -> str:
        tasks = [
            cell(task, name, **wanted) for task in ("retrieval", "linear") for name in ("paper", "small")
        ]
        probe = cell("linear, paper's probe", "small", **wanted)
        semi = [cell("semi", "small", share, **wanted) for share in SHARES]
        return "| " + " | ".join([title, *tasks, probe, *semi]) + " |"

    yield (
        "| | retrieval, paper's settings | retrieval, small | linear, paper's settings | linear, small "
        "| paper's probe, small | 5% of the labels, small | 20%, small |"
    )
    yield "|---" * 8 + "|"
    lines = [line("raw coordinates", encoder="raw coordinates", representations="image")]
    for name in ("seq", "graph", "image"):
        lines.append(line(f"untrained {name}", encoder="untrained", representations=name))
    for name in CONTRASTS:
        kind = "inter" if "+" in name else "intra"
        lines.append(line(f"{kind} {name}", encoder="pretrained", representations=name, augmentation="all"))
    for name, augmentation in product(("seq", "image"), AUGMENTATIONS):
        chosen = {"representations": name, "augmentation": augmentation}
        lines.append(line(f"intra {name}, augmentation: {augmentation}", encoder="pretrained", **chosen))
    yield from (each for each in lines if any(character.isdigit() for character in each))
    names = ("seq", "graph", "image")
    cells = [
        cell("supervised", "small", encoder="from random weights", representations=name) for name in names
    ]
    found = [f"{name} {value}" for name, value in zip(names, cells, strict=True) if value]
    yield ""
    yield f"Supervised from random weights: {', '.join(found) or 'not measured'}."


def write(results: dict[str, list[dict[str, Any]]], file: Path) -> None:
    """The figures, and between its marks the tables of docs/results.md."""
    with replacing(file, "the figures") as temporary:
        temporary.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
    rows = [row for figures in results.values() for row in figures]
    page = file.with_suffix(".md")
    before, begin, rest = page.read_text(encoding="utf-8").partition("<!-- tables -->\n")
    _, end, after = rest.partition("<!-- end of tables -->\n")
    measured = [name for name in DATASETS if any(row["dataset"] == name for row in rows)]
    tables = "".join(f"\n### {name}\n\n" + "\n".join(table(name, rows)) + "\n" for name in measured)
    with replacing(page, "the tables") as temporary:
        temporary.write_text(f"{before}{begin}{tables}\n{end}{after}", encoding="utf-8")


def main(given: argparse.Namespace) -> None:
    given.out.mkdir(parents=True, exist_ok=True)
    file = DOCS / "results.json"
    results = json.loads(file.read_text(encoding="utf-8")) if file.exists() else {}
    todo = {}
    for each in experiments(given.seeds):
        if not all(text in each.name for text in given.only):
            continue
        if any(row["config"] != digest(each) for row in results.get(each.name, ())):
            del results[each.name]
        measured = {row["task"] for row in results.get(each.name, ())}
        missing = [task for task in wanted(each) if task not in measured]
        if missing:
            todo[each] = missing
    failed: list[str] = []
    stores = {
        name: imported(name, path, given.out)
        for name, path in zip(DATASETS, (given.nucla, given.wmft), strict=True)
    }
    with ProcessPoolExecutor(given.jobs, mp_context=get_context("spawn")) as pool:
        waiting = {
            pool.submit(measure, each, tasks, stores[each.dataset], given.out): each
            for each, tasks in todo.items()
        }
        for number, future in enumerate(as_completed(waiting), 1):
            each = waiting[future]
            try:
                figures = future.result()
            except Exception as error:  # the others go on
                failed.append(each.name)
                print(f"{number} of {len(todo)}: {each.name}: {error}", file=sys.stderr, flush=True)
                continue
            rows = [{**asdict(each), "config": digest(each), **row} for row in figures]
            results[each.name] = [*results.get(each.name, ()), *rows]
            write(results, file)
            print(f"{number} of {len(todo)}: {each.name}", file=sys.stderr, flush=True)
    if failed:
        sys.exit(f"failed: {'; '.join(failed)}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("nucla", type=Path)
    parser.add_argument("wmft", type=Path)
    parser.add_argument("out", type=Path, help="where the stores and runs go")
    parser.add_argument("--seeds", type=int, default=3, help="pretrainings of each row")
    parser.add_argument("--jobs", type=int, default=2, help="at a time, each on one core")
    parser.add_argument("--only", action="append", default=[], metavar="TEXT", help="of the names")
    main(parser.parse_args())
