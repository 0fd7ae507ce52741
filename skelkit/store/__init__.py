"""The store: all sequences of a dataset in one HDF5 file. Only this package imports h5py.

Layout (version 3), default HDF5 library version, no compression:

    user block, 512 bytes    format, version, and two SHA-256: of the SHA-256 of every 16 MiB after the block,
               and of everything after it but the chunks of /joints and /present; where /rows stands
    /joints    (R, V, 3) float32, chunks of 128 rows: the sequences one after the other; a sequence of T
               frames and M bodies is T x M rows, frame by frame: a view of shape (T, M, V, 3)
    /present   (R,) uint8, whether the body is there; an absent body's row is zero
    /index/... one entry a sequence, in the order of the names: name, offset (first row), frames, bodies,
               label, crc32 (of its joints and flags)
    /columns/... one entry a sequence: subject, camera, ... int64, -1 where not known
    /protocols/... one entry a sequence: 1 train, 0 test, -1 neither, int8
    /rows      (G, 2) int64, contiguous: the first byte in the file, and the one after the last, of each run
               of chunks of /joints and /present; all other datasets are in chunks with Fletcher-32
    attributes  format, version, dataset, layout, classes, recipe, protocols (their rules), writer (the last
               five in JSON), content_hash; in a part of a larger conversion also shard (JSON: index, of,
               inputs)

HDF5 can crash on damaged tables of its own. The second SHA-256 is checked before it sees them, on every
opening: it takes milliseconds, as the rows are nearly all of the file. The rows are guarded by the CRC-32 of
each sequence, which is checked on every reading of it.
"""

from __future__ import annotations

from skelkit.store.format import Header, Shard
from skelkit.store.read import Store
from skelkit.store.verify import verify
from skelkit.store.write import check_store_path, write_store

__all__ = ["Header", "Shard", "Store", "check_store_path", "verify", "write_store"]
