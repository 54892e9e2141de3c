# SPDX-License-Identifier: Apache-2.0
"""
Undoes a content coding while a file comes in, a piece at a time.

Files are asked for as they are. Some stores name a coding all the same: one that compresses nothing, which is passed
over, or a real one, which is undone if it is gzip or deflate.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Iterator, Sequence

from airflow_provider_evolink.api.errors import ResultCorruptError

# Stores hand these out because an upload named them.
_PLAIN = frozenset({"", "identity", "aws-chunked", "none", "binary", "utf-8", "7bit", "8bit"})
_ZLIB, _GZIP, _RAW = zlib.MAX_WBITS, zlib.MAX_WBITS | 16, -zlib.MAX_WBITS
_FORMATS = {"gzip": _GZIP, "x-gzip": _GZIP, "deflate": _ZLIB}
_GZIP_MAGIC = b"\x1f\x8b"
_PIECE_BYTES = 64 * 1024


def codings_in(fields: Iterable[str]) -> list[str]:
    """Return what the ``Content-Encoding`` headers of an answer say was done to it, without what changes nothing."""
    names = [name.strip().lower() for field in fields for name in field.split(",")]
    return [name for name in names if name not in _PLAIN]


def decoder_for(codings: Sequence[str]) -> Decoder | None:
    """
    Return what undoes the codings of an answer.

    :param codings: as :func:`codings_in` returns them.
    :return: None if there are none.
    :raises ResultCorruptError: they can't be undone here.
    """
    if not codings:
        return None
    if len(codings) > 1 or codings[0] not in _FORMATS:
        raise ResultCorruptError(
            f"The server sent it compressed ({', '.join(codings)[:60]!r}), though it was asked not to, and this can't "
            "be undone here."
        )
    return Decoder(_FORMATS[codings[0]])


class Decoder:
    """
    Undoes gzip or deflate; hands on what is plain in spite of its header.

    It keeps its place, so that a download that was cut goes on where it was.
    """

    def __init__(self, window: int) -> None:
        self._window = window
        self._start = b""
        self._engine: zlib._Decompress | None = None
        self._is_plain = False

    @property
    def is_complete(self) -> bool:
        """Whether the coded bytes have come to their own end."""
        return self._is_plain or (self._engine is not None and self._engine.eof)

    def decode(self, data: bytes) -> Iterator[bytes]:
        """
        Undo the coding of the next bytes, in small pieces however much they unfold to.

        :raises zlib.error: they are broken.
        """
        if self._engine is None and not self._is_plain:
            data, self._start = self._start + data, b""
            if len(data) < len(_GZIP_MAGIC):
                self._start = data
                return
            self._begin(data)
        if self._is_plain:
            yield data
        elif self._engine is not None:
            yield from self._unfold(self._engine, data)

    def _unfold(self, engine: zlib._Decompress, data: bytes) -> Iterator[bytes]:
        piece = b""
        # A full piece may not be all that was in there.
        while data or len(piece) == _PIECE_BYTES:
            if engine.eof:
                if not data.startswith(_GZIP_MAGIC):
                    return
                # More than one gzip member may stand in a row.
                engine = self._engine = zlib.decompressobj(self._window)
            piece = engine.decompress(data, _PIECE_BYTES)
            yield piece
            data = engine.unconsumed_tail or engine.unused_data

    def _begin(self, data: bytes) -> None:
        # Servers mean deflate with zlib's header or without.
        windows = (self._window,) if self._window == _GZIP else (_ZLIB, _RAW)
        fitting = [window for window in windows if _opens(data, window)]
        self._is_plain = not fitting
        if fitting:
            self._window = fitting[0]
            self._engine = zlib.decompressobj(self._window)


def _opens(data: bytes, window: int) -> bool:
    try:
        zlib.decompressobj(window).decompress(data, 1)
    except zlib.error:
        return False
    return True
