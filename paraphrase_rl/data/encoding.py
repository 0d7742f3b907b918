"""Decoding of bytes: by the byte order mark, else as UTF-8; other bytes are refused with a guess at their encoding."""

from __future__ import annotations

import codecs
import gzip
import unicodedata
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import IO, cast

from paraphrase_rl.errors import DataError

_MARKS = (
    (b"\xef\xbb\xbf", "utf-8-sig"),
    (b"\xff\xfe\x00\x00", "utf-32"),
    (b"\x00\x00\xfe\xff", "utf-32"),
    (b"\xff\xfe", "utf-16"),
    (b"\xfe\xff", "utf-16"),
)
_OTHERS = ("utf-16-le", "utf-16-be", "cp1252", "cp1251", "shift_jis", "gb18030", "euc_kr")
"""Encodings that are proposed, the likelier first, where a file is in none of Unicode's with a mark."""
_PROPOSED = 3
_GZIP = b"\x1f\x8b"


def unpacked(stream: IO[bytes]) -> IO[bytes]:
    """Return a stream of uncompressed bytes, at its beginning: unpacked if the first bytes are those of gzip."""
    start = stream.read(len(_GZIP))
    stream.seek(0)
    return cast(IO[bytes], gzip.GzipFile(fileobj=stream)) if start == _GZIP else stream


@contextmanager
def read_errors(where: str, whole: Callable[[], bytes] | None = None) -> Iterator[None]:
    """Turn an error while a file is read into one that says what is wrong with the file.

    Args:
        where: name of the file.
        whole: function that reads the whole file, to find the bytes that its encoding does not allow.

    Raises:
        DataError: the file cannot be read, is damaged, or is in no Unicode encoding.
    """
    try:
        yield
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise DataError(f"{where}: damaged gzip file: {error}", "copy or download the file again") from error
    except OSError as error:
        raise DataError(f"cannot read {where}: {error.strerror or error}") from error
    except UnicodeDecodeError:
        if whole is not None:
            decoded(whole(), where)
        raise


def encoding_of(start: bytes) -> str:
    """Return the name of the encoding that the byte order mark says, and which drops it; UTF-8 without a mark."""
    return next((name for mark, name in _MARKS if start.startswith(mark)), "utf-8")


def beginning(start: bytes) -> str:
    """Decode the first bytes of a file, whose last character may be incomplete; wrong bytes are replaced."""
    decoder = codecs.getincrementaldecoder(encoding_of(start))(errors="replace")
    return decoder.decode(start)


def decoded(content: bytes, where: str) -> str:
    """Decode UTF-8, or UTF-16 and UTF-32 with a byte order mark, which is dropped.

    Raises:
        DataError: the encoding is another one; the message names the line, the byte, and encodings that would fit.
    """
    encoding = encoding_of(content)
    try:
        text = content.decode(encoding)
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        what = f"byte 0x{content[error.start]:02x} at offset {error.start}"
        raise DataError(
            f"{where}:{line}: not {encoding.removesuffix('-sig').upper()}: {what}", _proposals(content, where)
        ) from error
    if encoding == "utf-8" and "\0" in text and (proposals := _proposals(content, where, _OTHERS[:2])):
        raise DataError(f"{where}: has NUL bytes: UTF-16 without a byte order mark", proposals)
    return text


def _proposals(content: bytes, where: str, encodings: tuple[str, ...] = _OTHERS) -> str:
    """What the first line that is not ASCII would read in each encoding that fits the whole file."""
    readings: dict[str, str] = {}
    for encoding in encodings:
        if encoding.startswith("utf-16") and b"\0" not in content:
            continue
        try:
            text = content.decode(encoding)
        except UnicodeDecodeError:
            continue
        if any(unicodedata.category(c) in ("Cc", "Co", "Cn") and c not in "\t\n\r\f" for c in set(text)):
            continue
        line = next((line for line in text.splitlines() if not line.isascii()), text[:40])
        at = next((i for i, c in enumerate(line) if not c.isascii()), 0)
        readings[encoding] = " ".join(line[max(0, at - 15) : at + 15].split())
    if not readings:
        return ""
    shown = list(readings.items())[:_PROPOSED]
    reads = "; ".join(f"in {encoding} it reads {reading!r}" for encoding, reading in shown)
    return f"{reads}; convert it: iconv -f {shown[0][0]} -t utf-8 {where} > NEW"
