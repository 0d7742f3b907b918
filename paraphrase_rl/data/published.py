"""Files of a published data set, on this machine or on the hub, and their rows.

Data set plug-ins for published formats build on this; each plug-in adds the meaning of its columns.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from pydantic import Field

from paraphrase_rl.data.rows import file_rows
from paraphrase_rl.errors import DataError, MissingDependencyError
from paraphrase_rl.files import expanded, sha256_file
from paraphrase_rl.names import suggestion
from paraphrase_rl.plugin.specs import Options


class FilesOptions(Options):
    """Options of a set that is not on the hub."""

    path: str | None = Field(
        None, description="a file of the set, or a folder with its files as published; required"
    )


class HubOptions(Options):
    """Options of a set that is on the hub."""

    path: str | None = Field(
        None,
        description="a file of the set, or a folder with its files as published; null = download it from the hub",
    )
    revision: str | None = Field(None, description="commit, tag or branch on the hub; null = the newest")


class PublishedFiles:
    """The files of one set.

    Args:
        name: name of the set, for errors.
        path: a file or folder; ``None`` = from the hub.
        patterns: file name patterns, at any depth below the folder; the first pattern that matches anything counts.
        origin: where the set is published.
        hub: file to read from the hub if ``origin`` is a repository on the hub; ``None`` = not on the hub.
        revision: commit, tag or branch on the hub.

    Raises:
        DataError: ``path`` does not exist, or there is neither a path nor a hub.
    """

    def __init__(
        self,
        name: str,
        path: str | None,
        patterns: Sequence[str],
        origin: str,
        hub: str | None = None,
        revision: str | None = None,
    ) -> None:
        if path is None and hub is None:
            raise DataError(
                f"{name}: this set is not on the hub, and no path is given",
                f"download {origin} and give its folder as the option path",
            )
        self._name, self._origin, self._hub, self._revision = name, origin, hub, revision
        self._files = _below(name, expanded(path), patterns) if path is not None else None

    def files(self) -> list[Path]:
        """Return the files sorted by name; files on the hub are downloaded once, into the hub's cache.

        Raises:
            DataError, MissingDependencyError: the hub cannot be reached.
        """
        if self._files is None:
            self._files = [self._download()]
        return self._files

    def rows(self, *columns: str) -> Iterator[tuple[str, Mapping[str, object]]]:
        """Yield the rows of all files, each with its name in errors and ids, such as ``train.csv:12``.

        Args:
            columns: columns that every row of the format has.

        Raises:
            DataError: a file cannot be read, or is not in this format.
        """
        files = self.files()
        names = [file.name for file in files]
        for file in files:
            title = file.name if names.count(file.name) == 1 else str(file)
            for line, row in file_rows(file):
                missing = [column for column in columns if column not in row]
                if missing:
                    raise DataError(
                        f"{file}:{line}: column {missing[0]!r} is missing: this is not the format of {self._name}",
                        suggestion(missing[0], row),
                    )
                yield f"{title}:{line}", row

    def provenance(self) -> Mapping[str, str]:
        """Return the SHA-256 of each file by name; the name of a file from the hub includes its commit."""
        return {self._called(file): sha256_file(file) for file in self.files()}

    def _called(self, file: Path) -> str:
        # the hub's cache is .../snapshots/COMMIT/FILE
        if self._hub is not None and file.parent.parent.name == "snapshots":
            return f"{self._origin}@{file.parent.name}/{file.name}"
        return str(file)

    def _download(self) -> Path:
        file = f"{self._origin}/{self._hub}"
        bring = f"or give the path of a copy of {self._hub}"
        try:
            from huggingface_hub import hf_hub_download
            from huggingface_hub.constants import HF_HUB_OFFLINE as OFFLINE
        except ImportError as error:
            raise MissingDependencyError(
                f"{self._name}: reading the hub needs huggingface_hub, which is not installed",
                f"pip install 'paraphrase-rl[datasets]', {bring}",
            ) from error
        try:
            return Path(
                hf_hub_download(
                    self._origin,
                    str(self._hub),
                    repo_type="dataset",
                    revision=self._revision,
                    local_files_only=OFFLINE,
                )
            )
        except Exception as error:  # errors of several network libraries
            said = (str(error).strip().splitlines() or [type(error).__name__])[0]
            why = (
                "the hub is switched off (HF_HUB_OFFLINE) and the file is not in the cache"
                if OFFLINE
                else said
            )
            raise DataError(
                f"{self._name}: {file} cannot be downloaded: {why}", f"check the network, {bring}"
            ) from error


def _below(name: str, path: Path, patterns: Sequence[str]) -> list[Path]:
    if path.is_file():
        return [path]
    if not path.is_dir():
        raise DataError(
            f"{name}: no file or folder {path}", "check the path: relative paths start at the current folder"
        )
    for pattern in patterns:
        if found := sorted(file for file in path.rglob(pattern) if file.is_file()):
            return found
    raise DataError(
        f"{name}: no {' or '.join(patterns)} below {path}", "give the folder that holds the set as published"
    )
