"""From raw files to a store, to a classifier of one's own, to a picture of what it has learnt.

    python examples/from_store_to_plot.py                             # invented people, seconds on a CPU
    python examples/from_store_to_plot.py ntu60.h5 --protocol xview   # a store of your own

Read it from top to bottom; editors that know `# %%` run it cell by cell.
"""

# %%
from argparse import ArgumentParser
from pathlib import Path

import torch
import torch.nn.functional as F
from PIL import Image, ImageDraw, ImageFont
from torch import nn
from torch.utils.data import DataLoader

from skelkit.augment import Compose, Crop, Resample, Rotation
from skelkit.conversion import convert
from skelkit.preview import write_preview
from skelkit.store import Store
from skelkit.synthetic import synthesise
from skelkit_train import SkeletonDataset
from skelkit_train.encoders import GRUEncoder

parser = ArgumentParser()
parser.add_argument("store", nargs="?", type=Path, help="made of invented people if not given")
parser.add_argument("--protocol", default="xsub")
parser.add_argument("--folder", default="example", type=Path, help="for all that is written")
parser.add_argument("--classes", default=8, type=int, help="that invented people perform")
parser.add_argument("--subjects", default=8, type=int, help="how many people are invented")
parser.add_argument("--epochs", default=15, type=int)
options = parser.parse_args()
options.folder.mkdir(parents=True, exist_ok=True)

# %% A store: all sequences of a dataset in one file, converted from the raw files once.
if options.store is None:
    raw, options.store = options.folder / "raw", options.folder / "ntu60.h5"
    if not options.store.exists():
        synthesise(raw, classes=options.classes, subjects=options.subjects, repeats=2, seed=0)
        convert([raw], options.store, dataset="ntu60", progress=False)

# %% One sequence: T frames, M bodies, V joints, xyz in metres.
with Store(options.store) as store:
    sequence, layout = store.sequence(0), store.layout
    class_name = store.class_name(sequence.label)
print(f"{sequence.name} ({class_name}): joints {sequence.joints.shape}, {layout.name}")

# %% Augmented views: every epoch, training sees another one of a sequence. The transform says how it is made:
# here a part of the sequence, at 32 frames, turned. The pictures show three epochs' beside the original.
transform = Compose((Crop(low=0.6, shortest=32), Resample(32), Rotation(45)))
train = SkeletonDataset(options.store, options.protocol, "train", transform=transform)
test = SkeletonDataset(options.store, options.protocol, "test", frames=32)
for epoch in range(3):
    out, shown = options.folder / f"view{epoch}.png", {f"epoch {epoch}": transform}
    write_preview(sequence, layout, out, augmentations=shown, epoch=epoch, class_name=class_name)
print(f"{len(train)} sequences to train on, {len(test)} to test on; a view is {tuple(train[0][0].shape)}")

# %% A model of your own in plain torch: one of skelkit's encoders, and a linear layer on its features.
torch.manual_seed(0)
sizes = {"layout": train.layout, "bodies": train.bodies, "frames": train.frames}
encoder = GRUEncoder(**sizes, hidden=64, layers=1, direction="bidirectional")
classifier = nn.Linear(encoder.features, len(train.classes))
optimizer = torch.optim.AdamW([*encoder.parameters(), *classifier.parameters()], lr=3e-3)

# %% Training. The views are the same with any number of workers: for a large store give DataLoader some.
for epoch in range(options.epochs):
    train.set_epoch(epoch)
    total = 0.0
    for views, labels, _ in DataLoader(train, batch_size=32, shuffle=True):
        loss = F.cross_entropy(classifier(encoder(views)), labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        total += loss.item() * len(labels)
    print(f"epoch {epoch + 1}/{options.epochs}  loss {total / len(train):.3f}")

# %% Testing: features of people whom the model has never seen.
with torch.inference_mode():
    features = torch.cat([encoder(views) for views, _, _ in DataLoader(test, batch_size=256)])
    right = classifier(features).argmax(dim=1) == torch.from_numpy(test.labels)
accuracy, chance = right.float().mean().item(), 1 / len(test.classes)
print(f"test accuracy {accuracy:.1%}, chance {chance:.1%}")

# %% A map of the features: a dot in the colour of its class for each test sequence of the first ten classes;
# more colours are hard to tell apart.
COLOURS = ["#2f6fde", "#e8702a", "#0f9f8f", "#c2409a", "#8a6d1f"]
COLOURS += ["#d23f3f", "#6b4fd8", "#4f9a2c", "#1f2933", "#e3a008"]
SIZE, MARGIN, SCALE = (980, 640), 40, 2  # drawn twice as large, then reduced: smooth edges

centred = features - features.mean(dim=0)
points = centred @ torch.linalg.svd(centred, full_matrices=False).Vh[:2].T
low, high = points.min(dim=0).values, points.max(dim=0).values
area = torch.tensor([SIZE[1] - 2 * MARGIN, SIZE[1] - 3 * MARGIN])
places = torch.tensor([MARGIN, 2 * MARGIN]) + (points - low) / (high - low).clamp(min=1e-9) * area

picture = Image.new("RGB", (SCALE * SIZE[0], SCALE * SIZE[1]), "white")
draw = ImageDraw.Draw(picture)
title, text = (ImageFont.load_default(size=SCALE * size) for size in (20, 14))


def dot(x: float, y: float, colour: str, *, filled: bool = True) -> None:
    box = [SCALE * (value + by) for by in (-5, 5) for value in (x, y)]
    draw.ellipse(box, fill=colour if filled else "white", outline=colour, width=2 * SCALE)


heading = f"{options.store.name}, {options.protocol}: {accuracy:.1%} of the test part right"
draw.text((SCALE * MARGIN, SCALE * 20), heading, "#1f2933", title)
draw.text((SCALE * MARGIN, SCALE * 46), "principal components 1 and 2 of the features", "#647080", text)
for (x, y), label, hit in zip(places.tolist(), test.labels.tolist(), right.tolist(), strict=True):
    if label < len(COLOURS):
        dot(x, y, COLOURS[label], filled=hit)
legend = [*zip(test.classes, COLOURS, strict=False), ("taken for another class", "#647080")]
for row, (name, colour) in enumerate(legend):
    x, y = SIZE[1] + MARGIN, 2 * MARGIN + 28 * row
    dot(x, y, colour, filled=row < len(legend) - 1)
    draw.text((SCALE * (x + 16), SCALE * y), name, "#1f2933", text, anchor="lm")
picture.reduce(SCALE).save(options.folder / "features.png")
print(f"the map is {options.folder / 'features.png'}")
