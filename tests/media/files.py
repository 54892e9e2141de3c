# SPDX-License-Identifier: Apache-2.0
"""Tiny media files of any size and duration: real headers, without the content that they announce."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable


def png(width: int, height: int) -> bytes:
    """Return the beginning of a png."""
    header = b"IHDR" + struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + header + struct.pack(">I", zlib.crc32(header)) + bytes(40)


def whole_png(width: int, height: int) -> bytes:
    """Return a png that can be decoded: gray."""
    rows = zlib.compress((b"\0" + b"\x80" * width) * height)
    chunks = ((b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)), (b"IDAT", rows), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data)) for name, data in chunks
    )


def jpeg(width: int, height: int) -> bytes:
    """Return the beginning of a jpeg."""
    app0 = b"\xff\xe0" + struct.pack(">H", 16) + b"JFIF\0\1\1\0\0\1\0\1\0\0"
    frame = b"\xff\xc0" + struct.pack(">HBHHB", 17, 8, height, width, 3) + bytes(9)
    return b"\xff\xd8" + app0 + frame + b"\xff\xd9" + bytes(40)


def webp(width: int, height: int) -> bytes:
    """Return the beginning of a webp."""
    size = (width - 1).to_bytes(3, "little") + (height - 1).to_bytes(3, "little")
    chunk = b"WEBPVP8X" + struct.pack("<I", 10) + bytes(4) + size + bytes(40)
    return b"RIFF" + struct.pack("<I", len(chunk)) + chunk


def gif(width: int, height: int) -> bytes:
    """Return the beginning of a gif."""
    return b"GIF89a" + struct.pack("<HH", width, height) + bytes(40)


def bmp(width: int, height: int) -> bytes:
    """Return the beginning of a bmp."""
    return b"BM" + struct.pack("<IHHI", 200, 0, 0, 54) + struct.pack("<IiiHH", 40, width, height, 1, 24) + bytes(160)


def tiff(width: int, height: int) -> bytes:
    """Return the beginning of a tiff."""
    tags = struct.pack("<HHII", 256, 4, 1, width) + struct.pack("<HHII", 257, 4, 1, height)
    return b"II*\0" + struct.pack("<IH", 8, 2) + tags + bytes(40)


def heic(width: int, height: int, brand: bytes = b"heic") -> bytes:
    """Return a heic with the size of its one picture."""
    ispe = _box(b"ispe", struct.pack(">III", 0, width, height))
    ipma = _box(b"ipma", struct.pack(">IIHBB", 0, 1, 1, 1, 0x81))
    pitm = _box(b"pitm", struct.pack(">IH", 0, 1))
    infe = _box(b"infe", struct.pack(">IHH", 2 << 24, 1, 0) + b"hvc1\0")
    iinf = _box(b"iinf", struct.pack(">IH", 0, 1) + infe)
    iprp = _box(b"iprp", _box(b"ipco", ispe) + ipma)
    return _box(b"ftyp", brand + bytes(4) + b"mif1" + brand) + _box(b"meta", bytes(4) + pitm + iinf + iprp)


def mp4(
    width: int = 1280, height: int = 720, seconds: float = 5, *, brand: bytes = b"isom", index_first: bool = False
) -> bytes:
    """Return an mp4 whose index is at the end, or at the beginning."""
    mvhd = _box(b"mvhd", struct.pack(">IIIII", 0, 0, 0, 1000, round(seconds * 1000)) + bytes(80))
    matrix = struct.pack(">9i", 1 << 16, 0, 0, 0, 1 << 16, 0, 0, 0, 1 << 30)
    tkhd = _box(b"tkhd", bytes(40) + matrix + struct.pack(">II", width << 16, height << 16))
    moov = _box(b"moov", mvhd + _box(b"trak", tkhd))
    mdat = _box(b"mdat", bytes(20_000))
    return _box(b"ftyp", brand + bytes(4) + brand) + (moov + mdat if index_first else mdat + moov)


def mov(width: int = 1280, height: int = 720, seconds: float = 5) -> bytes:
    """Return a mov."""
    return mp4(width, height, seconds, brand=b"qt  ")


def m4a(seconds: float = 5) -> bytes:
    """Return an m4a."""
    return mp4(0, 0, seconds, brand=b"M4A ")


def wav(seconds: float = 5) -> bytes:
    """Return the beginning of a wav that announces its length."""
    rate = 16_000
    form = struct.pack("<IHHIIHH", 16, 1, 1, rate, 2 * rate, 2, 16)
    size = round(seconds * rate) * 2
    return b"RIFF" + struct.pack("<I", 36 + size) + b"WAVEfmt " + form + b"data" + struct.pack("<I", size) + bytes(100)


def mp3(seconds: float = 5) -> bytes:
    """Return the beginning of an mp3 whose first frame announces how many there are."""
    frames = round(seconds * 44_100 / 1152)
    first = b"\xff\xfb\x90\x44" + bytes(32) + b"Xing" + struct.pack(">III", 3, frames, frames * 417)
    return first.ljust(417, b"\0") + (b"\xff\xfb\x90\x44" + bytes(413)) * 3


def ogg(_seconds: float = 5) -> bytes:
    """Return the beginning of an ogg."""
    return b"OggS" + bytes(24) + b"OpusHead" + bytes(100)


IMAGES: dict[str, Callable[[int, int], bytes]] = {
    "png": png, "jpeg": jpeg, "webp": webp, "gif": gif, "bmp": bmp, "tiff": tiff, "heic": heic,
}  # fmt: skip
VIDEOS: dict[str, Callable[[int, int, float], bytes]] = {"mp4": mp4, "mov": mov}
AUDIOS: dict[str, Callable[[float], bytes]] = {"wav": wav, "mp3": mp3, "m4a": m4a, "ogg": ogg}
OTHERS: dict[str, bytes] = {
    "html": b"<!doctype html><html><body>Not found</body></html>",
    "text": b"version https://git-lfs.github.com/spec/v1\n",
    "pdf": b"%PDF-1.7\n" + bytes(40),
    "zip": b"PK\x03\x04" + bytes(60),
    "empty": b"",
}


def _box(name: bytes, content: bytes) -> bytes:
    return struct.pack(">I", 8 + len(content)) + name + content
