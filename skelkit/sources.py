"""A folder, a .zip or a single file, seen the same way: names and bytes.

Archives are read where they lie; nothing is ever unpacked, and no path inside one is trusted.
"""

from __future__ import annotations

import os
import stat
import zipfile
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property, lru_cache
from lzma import LZMAError
from os.path import basename, join, splitext
from pathlib import Path
from zlib import error as zlib_error

from skelkit.errors import InputError, SkelkitError, UnreadableError, no_such

__all__ = ["Listing", "RawFile", "list_files"]

LARGEST_FILE = 1 << 28
"""Bytes; a larger member of an archive is refused before it is inflated."""


@dataclass(frozen=True)
class RawFile:
    """A file on disk or a member of an archive; small and picklable, so that workers can open it."""

    path: str
    member: str | None
    size: int
    stamp: int
    """CRC-32 of a member, modification time (ns) of a file: tells a changed input from the same one."""

    @cached_property
    def name(self) -> str:
        """The bare file name, without any folder; an unpacked Windows archive can have one in a file's name,
        and a ``!`` ends that of an archive, as readers see it."""
        name = self.member or basename(self.path)
        return name.replace("\\", "/").replace("!", "/").rpartition("/")[2]

    @property
    def where(self) -> str:
        """For people: the path, and inside an archive the member after a ``!``."""
        return f"{self.path}!{self.member}" if self.member else self.path

    @property
    def stem(self) -> str:
        """The bare file name without its last suffix."""
        return splitext(self.name)[0]

    def read(self, most: int = -1) -> bytes:
        """All bytes of the file, or the first ``most``.

        Raises
        ------
        InputError : it cannot be read, or is damaged inside its archive
        """
        if self.size > LARGEST_FILE:
            raise InputError(self.where, f"{self.size} bytes, expected at most {LARGEST_FILE}")
        try:
            if self.member is None:
                with open(self.path, "rb") as file:
                    return file.read(most)
            with _open_archive(self.path).open(self.member) as file:
                return file.read(self.size if most < 0 else most)  # -1 would inflate in small pieces
        except (zipfile.BadZipFile, zlib_error, LZMAError, EOFError) as error:
            raise InputError(self.where, f"damaged in its archive: {error}") from None
        except (OSError, RuntimeError, KeyError, UnicodeDecodeError) as error:  # Runtime: encrypted
            reason = getattr(error, "strerror", None) or error
            raise UnreadableError(self.where, f"cannot be read: {reason}") from None


def _open_archive(path: str) -> zipfile.ZipFile:
    try:
        status = os.stat(path)
        return _open_version(path, status.st_mtime_ns, status.st_size)
    except (zipfile.BadZipFile, OSError, NotImplementedError, UnicodeDecodeError) as error:
        cut = "; is the download complete?" if isinstance(error, zipfile.BadZipFile) else ""
        raise InputError(path, f"not a readable zip archive: {error}{cut}") from None


@lru_cache(maxsize=4)
def _open_version(path: str, _stamp: int, _size: int) -> zipfile.ZipFile:
    """Opened once, however many members are read; an archive that was replaced is opened again."""
    return zipfile.ZipFile(path)


@dataclass(frozen=True)
class Listing:
    """What lies in some sources."""

    files: list[RawFile]
    """With a suffix asked for, by name."""
    others: list[str]
    """Where the files are that were passed over."""
    unreadable: list[InputError]
    """Archives and folders that cannot be opened or have no such file in them, and what is no plain file."""


def list_files(sources: Iterable[Path], *suffixes: str) -> Listing:
    """The files with one of the suffixes in all sources.

    A source that is itself a file, other than a .zip, is taken whatever its suffix. Hidden files and folders
    and the resource forks of archives made on a Mac are not looked at.

    Raises
    ------
    SkelkitError : a source does not exist, or no file with such a suffix is in any of them
    InputError : an archive cannot be opened, and no file is in any other source
    """
    listing = Listing([], [], [])
    useless: list[str] = []
    sources = list({source.resolve(): source for source in sources}.values())
    for source in sources:
        if not (source.is_file() or source.is_dir()):
            if source.exists():
                raise SkelkitError(f"{source}: neither a file nor a folder")
            raise SkelkitError(f"{source}: {no_such('file or folder', source)}")
        if source.is_file() and source.suffix.lower() != ".zip":
            status = source.stat()
            listing.files.append(RawFile(str(source), None, status.st_size, status.st_mtime_ns))
            continue
        try:
            found = (_in_folder if source.is_dir() else _in_archive)(str(source), suffixes, listing)
        except InputError as error:
            listing.unreadable.append(error)
            continue
        before = len(listing.files), len(listing.unreadable)
        for file in found:
            if file.name.startswith("."):
                continue
            if splitext(file.name)[1].lower() in suffixes:
                listing.files.append(file)
            else:
                listing.others.append(file.where)
        if (len(listing.files), len(listing.unreadable)) == before:
            useless.append(str(source))
    wanted = f"no {' or '.join(suffixes)} file in it"
    if not listing.files:
        raise next(iter(listing.unreadable), None) or SkelkitError(f"{', '.join(useless)}: {wanted}")
    listing.unreadable.extend(InputError(source, wanted) for source in useless)
    listing.files.sort(key=lambda file: (file.name, file.where))
    listing.others.sort()
    return listing


def _in_folder(folder: str, suffixes: tuple[str, ...], listing: Listing) -> list[RawFile]:
    """The files in it; the listing gets what cannot be read, and what bears a suffix but is no file."""

    def refused(error: OSError) -> None:
        listing.unreadable.append(InputError(str(error.filename), f"cannot be read: {error.strerror}"))

    files, seen = [], set()
    for parent, folders, names in os.walk(folder, onerror=refused, followlinks=True):
        if os.path.realpath(parent) in seen:  # a link that leads back
            folders.clear()
            continue
        seen.add(os.path.realpath(parent))
        folders[:] = [name for name in folders if not name.startswith(".")]
        for name in folders:
            path = join(parent, name)
            if splitext(name)[1].lower() in suffixes and _is_empty(path):
                listing.unreadable.append(InputError(path, "an empty folder, expected a file"))
        for name in names:
            if name.startswith("."):
                continue
            path, what = join(parent, name), "not a plain file"
            try:
                status = os.stat(path)
                if stat.S_ISREG(status.st_mode):
                    files.append(RawFile(path, None, status.st_size, status.st_mtime_ns))
                    continue
            except FileNotFoundError:
                what = "a link to a file that is not there"
            except OSError as error:
                what = f"cannot be read: {error.strerror}"
            if splitext(name)[1].lower() in suffixes:
                listing.unreadable.append(InputError(path, what))
    return files


def _is_empty(folder: str) -> bool:
    try:
        return not os.listdir(folder)
    except OSError:  # told where the walk comes to it
        return False


def _in_archive(path: str, _suffixes: tuple[str, ...], listing: Listing) -> list[RawFile]:
    members = {m.filename: m for m in _open_archive(path).infolist()}
    for name, count in Counter(m.filename for m in _open_archive(path).infolist()).items():
        if count > 1:
            reason = f"in the archive {count} times; the last is taken"
            listing.unreadable.append(InputError(f"{path}!{name}", reason))
    return [
        RawFile(path, m.filename, m.file_size, m.CRC)
        for m in members.values()
        if not (m.is_dir() or m.filename.startswith("__MACOSX/"))
    ]
