# SPDX-License-Identifier: Apache-2.0
"""Decode a content coding (RFC 9110) while a file is downloaded, in small pieces.

Files are requested without a coding. Some stores name one anyway: one that compresses nothing, which is ignored, or a
real one, which is decoded if it is gzip or deflate.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Iterator, Sequence

from airflow_provider_evolink.api.errors import ResultCorruptError

# Stores return these because the upload named them.
_NO_CODING = frozenset({"", "identity", "aws-chunked", "none", "binary", "utf-8", "7bit", "8bit"})
_ZLIB, _GZIP, _RAW = zlib.MAX_WBITS, zlib.MAX_WBITS | 16, -zlib.MAX_WBITS
_FORMATS = {"gzip": _GZIP, "x-gzip": _GZIP, "deflate": _ZLIB}
_GZIP_MAGIC = b"\x1f\x8b"
_PIECE_BYTES = 64 * 1024


def codings_in(fields: Iterable[str]) -> list[str]:
    """Return the codings in the ``Content-Encoding`` headers of a response, without those that change nothing."""
    names = [name.strip().lower() for field in fields for name in field.split(",")]
    return [name for name in names if name not in _NO_CODING]


def decoder_for(codings: Sequence[str]) -> Decoder | None:
    """Return a decoder for the codings of a response.

    :param codings: as :func:`codings_in` returns them.
    :return: ``None`` if there are none.
    :raises ResultCorruptError: they can't be decoded here.
    """
    if not codings:
        return None
    if len(codings) > 1 or codings[0] not in _FORMATS:
        raise ResultCorruptError(
            f"The server sent the file compressed ({', '.join(codings)[:60]!r}) though it was requested uncompressed; "
            "only gzip and deflate can be decoded."
        )
    return Decoder(_FORMATS[codings[0]])


class Decoder:
    """Decode gzip or deflate; pass on data that is not compressed despite its header.

    It keeps its state, so that an interrupted download continues where it was cut.

    :param window: zlib's ``wbits``.
    """

    def __init__(self, window: int) -> None:
        self._window = window
        self._pending = b""
        self._engine: zlib._Decompress | None = None
        self._is_plain = False

    @property
    def is_complete(self) -> bool:
        """Whether the compressed data has reached its own end."""
        return self._is_plain or (self._engine is not None and self._engine.eof)

    def decode(self, data: bytes) -> Iterator[bytes]:
        """Decode the next bytes, in small pieces, however much they expand to.

        :raises zlib.error: the data is broken.
        """
        if self._engine is None and not self._is_plain:
            data, self._pending = self._pending + data, b""
            if len(data) < len(_GZIP_MAGIC):
                self._pending = data
                return
            self._detect_format(data)
        if self._is_plain:
            yield data
        elif self._engine is not None:
            yield from self._decompress(self._engine, data)

    def _decompress(self, engine: zlib._Decompress, data: bytes) -> Iterator[bytes]:
        piece = b""
        # A full piece may not be all of the output.
        while data or len(piece) == _PIECE_BYTES:
            if engine.eof:
                if not data.startswith(_GZIP_MAGIC):
                    return
                # There may be several gzip members in a row.
                engine = self._engine = zlib.decompressobj(self._window)
            piece = engine.decompress(data, _PIECE_BYTES)
            yield piece
            data = engine.unconsumed_tail or engine.unused_data

    def _detect_format(self, data: bytes) -> None:
        # Servers send deflate with or without zlib's header.
        windows = (self._window,) if self._window == _GZIP else (_ZLIB, _RAW)
        matching = [window for window in windows if _decompresses(data, window)]
        self._is_plain = not matching
        if matching:
            self._window = matching[0]
            self._engine = zlib.decompressobj(self._window)


def _decompresses(data: bytes, window: int) -> bool:
    try:
        zlib.decompressobj(window).decompress(data, 1)
    except zlib.error:
        return False
    return True
