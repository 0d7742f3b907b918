"""Where the rows of a published data set come from: files in its own format, or its files on the hub.

Data set plug-ins for published formats are made of this; each adds what its columns mean.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from pydantic import Field

from paraphrase_rl.data.rows import file_rows
from paraphrase_rl.errors import DataError, MissingDependencyError
from paraphrase_rl.files import sha256_file
from paraphrase_rl.names import suggestion
from paraphrase_rl.plugin.specs import Options


class FilesOptions(Options):
    """Of a set that is on no hub."""

    path: str | None = Field(
        None, description="a file of the set, or a folder that holds its files as published; needed"
    )


class HubOptions(Options):
    """Of a set that is on the hub."""

    path: str | None = Field(
        None, description="a file of the set, or a folder that holds its files as published; null = the hub's"
    )
    revision: str | None = Field(None, description="commit, tag or branch on the hub; null = its newest")


class PublishedFiles:
    """The files of one set.

    Args:
        name: of the set, for errors.
        path: a file or folder; ``None`` = from the hub.
        patterns: what the files are called, below the folder at any depth; the first that fits.
        origin: where the set is published.
        hub: the file that is read from the hub, where ``origin`` is a repository there.
        revision: on the hub.

    Raises:
        DataError: nothing is at ``path``, or there is neither a path nor a hub.
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
                f"{name}: it is on no hub, and no path is given", f"bring {origin} and name its folder"
            )
        self._name, self._origin, self._hub, self._revision = name, origin, hub, revision
        self._files = _below(name, Path(path).expanduser(), patterns) if path is not None else None

    def files(self) -> list[Path]:
        """By name; those of the hub are downloaded once, into its cache.

        Raises:
            DataError, MissingDependencyError: the hub cannot be reached.
        """
        if self._files is None:
            self._files = [self._download()]
        return self._files

    def rows(self, *columns: str) -> Iterator[tuple[str, Mapping[str, object]]]:
        """Rows of all files, each with what errors and ids call it: ``train.csv:12``.

        Args:
            columns: that the format has.

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
                        f"{file}:{line}: no {missing[0]!r}: this is not the format of {self._name}",
                        suggestion(missing[0], row),
                    )
                yield f"{title}:{line}", row

    def provenance(self) -> Mapping[str, str]:
        """File -> SHA-256; a file of the hub with its commit."""
        return {self._called(file): sha256_file(file) for file in self.files()}

    def _called(self, file: Path) -> str:
        # the hub's cache is .../snapshots/COMMIT/FILE
        if self._hub is not None and file.parent.parent.name == "snapshots":
            return f"{self._origin}@{file.parent.name}/{file.name}"
        return str(file)

    def _download(self) -> Path:
        file = f"{self._origin}/{self._hub}"
        bring = f"or bring {self._hub} and say where it is"
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
            why = "the hub is switched off (HF_HUB_OFFLINE) and it is not in the cache" if OFFLINE else said
            raise DataError(
                f"{self._name}: {file} cannot be fetched: {why}", f"check the network, {bring}"
            ) from error


def _below(name: str, path: Path, patterns: Sequence[str]) -> list[Path]:
    if path.is_file():
        return [path]
    if not path.is_dir():
        raise DataError(
            f"{name}: there is no file or folder {path}", "paths are relative to where prl is called"
        )
    for pattern in patterns:
        if found := sorted(file for file in path.rglob(pattern) if file.is_file()):
            return found
    raise DataError(
        f"{name}: no {' or '.join(patterns)} below {path}", "name the folder that holds the set as published"
    )
