"""Files that the start of a run writes, until something is measured: noted first, and removed if the start fails.

What a start did not write is never deleted or overwritten: the folder may hold files of the user.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Mapping
from contextlib import suppress
from pathlib import Path

from paraphrase_rl.errors import RunError
from paraphrase_rl.files import LOCK, append_jsonl, copy_file, sha256_file, sha256_text, write_text
from paraphrase_rl.runs.start_notes import START, entries, is_as_noted, is_empty, noted_in


class StartFiles:
    """Files of one start.

    Attributes:
        pending: True from the claim of a new folder until something is measured.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.pending = self._made = self._made_lock = False
        self._wrote: dict[str, str | None] = {}

    def refuse_foreign(self) -> None:
        """Refuse a folder that holds anything but what a killed start left.

        Raises:
            RunError: it does.
        """
        noted = noted_in(self.folder)
        for name in entries(self.folder):
            if (name == LOCK and is_empty(self.folder / LOCK)) or (name == START and noted is not None):
                continue
            if not is_as_noted(self.folder, name, noted or {}):
                raise RunError(
                    f"{self.folder} is not empty and not a run: it contains {name}",
                    "choose another --out; nothing in it was changed",
                )

    def before_lock(self) -> None:
        """Note what is there before the folder is locked."""
        self._made = not self.folder.exists()
        self._made_lock = not os.path.lexists(self.folder / LOCK)

    def clean(self) -> None:
        """Remove what a killed start left, in a folder that is locked.

        Raises:
            RunError: the folder holds anything else.
        """
        self.refuse_foreign()
        self._remove(noted_in(self.folder) or {})
        (self.folder / START).unlink(missing_ok=True)

    def keep(self, path: Path, text: str) -> None:
        """Write a file; it is removed again if the start fails.

        Raises:
            RunError: another file has appeared at the path, or the file cannot be written.
        """
        self._claim(path, sha256_text(text))
        write_text(path, text)

    def keep_folder(self, source: Path, folder: Path, names: Collection[str] | None = None) -> None:
        """Copy a folder into the run, file by file, as :meth:`keep` writes them.

        Args:
            names: paths in the folder of the files to copy; ``None`` = all.
        """
        for parent in reversed(folder.parents):
            if self._name(parent) not in {None, ".", *self._wrote}:
                self._make(parent)
        self._make(folder)
        for path in sorted(source.rglob("*")):  # a folder before what it holds
            copy = folder / path.relative_to(source)
            if path.is_dir():
                self._make(copy)
            elif names is None or path.relative_to(source).as_posix() in names:
                self._claim(copy, sha256_file(path))
                copy_file(path, copy)

    def _make(self, folder: Path) -> None:
        self._claim(folder, None)
        folder.mkdir()

    def _claim(self, path: Path, digest: str | None) -> None:
        """Record what is about to be written, so that a later start can tell it from files of the user.

        Args:
            path: where.
            digest: SHA-256 of the file; ``None`` = a folder.
        """
        name = self._name(path)
        assert name is not None
        self._refuse_if_there(path)
        append_jsonl(self.folder / START, {"path": name, "sha256": digest})
        self._wrote[name] = digest

    def _refuse_if_there(self, path: Path) -> None:
        if os.path.lexists(path):
            raise RunError(
                f"{path} appeared while the run was starting",
                "choose another --out; that file was not changed",
            )

    def _name(self, path: Path) -> str | None:
        for home in (self.folder, self.folder.resolve()):
            if path.is_relative_to(home):
                return path.relative_to(home).as_posix()
        return None

    def before_row(self, name: str) -> None:
        """Refuse to add the first row to a file that the start did not write.

        Raises:
            RunError: there is such a file.
        """
        if self.pending and name not in self._wrote:
            self._refuse_if_there(self.folder / name)

    def after_row(self, name: str) -> None:
        """Note a file to which a row was added."""
        path = self.folder / name
        if self.pending and path.is_file():
            self._wrote[name] = sha256_file(path)

    def forget(self) -> None:
        """End the start: there is something to resume, and its files stay."""
        self.pending = False
        if noted_in(self.folder):
            (self.folder / START).unlink()

    def discard(self) -> None:
        """Remove the files of a start that failed, and the folder if the start made it."""
        self._remove(self._wrote)
        (self.folder / START).unlink(missing_ok=True)
        if self._made_lock or self._wrote:
            with suppress(PermissionError):  # Windows deletes no open file; the next start takes it
                (self.folder / LOCK).unlink(missing_ok=True)
        if self._made:
            with suppress(OSError):  # somebody put a file there meanwhile
                self.folder.rmdir()

    def _remove(self, wrote: Mapping[str, str | None]) -> None:
        for name in reversed(list(entries(self.folder))):  # what a folder holds before the folder
            if is_as_noted(self.folder, name, wrote):
                if wrote.get(name, "") is None:
                    with suppress(OSError):  # it holds something of somebody else
                        (self.folder / name).rmdir()
                else:
                    (self.folder / name).unlink()
