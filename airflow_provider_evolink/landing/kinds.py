# SPDX-License-Identifier: Apache-2.0
"""
Tells what a file is by its first bytes.

A server's word is not enough: an error page may come as ``video/mp4``, a video as ``application/octet-stream``. The
content types of EvoLink's links are undocumented; its own client judges by the first bytes, too.
"""

from __future__ import annotations

import codecs
import re
from dataclasses import dataclass

HEAD_BYTES = 4096


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of file: its usual name ending, without the dot, and its content type."""

    extension: str
    content_type: str

    @property
    def family(self) -> str:
        """``video``, ``audio``, ``image`` or another first word of a content type."""
        return self.content_type.partition("/")[0]


BINARY = Kind("bin", "application/octet-stream")

# The first that matches at the start of a file names it.
_SIGNATURES: tuple[tuple[bytes, Kind], ...] = (
    (rb"\x89PNG\r\n\x1a\n", Kind("png", "image/png")),
    (rb"\xff\xd8\xff", Kind("jpg", "image/jpeg")),
    (rb"RIFF.{4}WEBP", Kind("webp", "image/webp")),
    (rb"GIF8[79]a", Kind("gif", "image/gif")),
    (rb".{4}ftypavi[fs]", Kind("avif", "image/avif")),
    (rb".{4}ftyp(hei[cx]|mif1|msf1)", Kind("heic", "image/heic")),
    (rb"II\*\x00|MM\x00\*", Kind("tiff", "image/tiff")),
    (rb"BM.{4}\x00{4}", Kind("bmp", "image/bmp")),
    (rb".{4}ftypM4[AB] ", Kind("m4a", "audio/mp4")),
    (rb"ID3|\xff[\xe2-\xe5\xf2-\xf5\xfa-\xfd][\x10-\xeb]", Kind("mp3", "audio/mpeg")),
    (rb"\xff[\xf0\xf1\xf8\xf9]", Kind("aac", "audio/aac")),
    (rb"RIFF.{4}WAVE", Kind("wav", "audio/wav")),
    (rb"OggS", Kind("ogg", "audio/ogg")),
    (rb"fLaC", Kind("flac", "audio/flac")),
    (rb"FORM.{4}AIF[FC]", Kind("aiff", "audio/aiff")),
    (rb".{4}(ftypqt  |moov|mdat|wide)", Kind("mov", "video/quicktime")),
    (rb".{4}ftyp", Kind("mp4", "video/mp4")),
    (rb"\x1a\x45\xdf\xa3.{0,60}webm", Kind("webm", "video/webm")),
    (rb"\x1a\x45\xdf\xa3", Kind("mkv", "video/x-matroska")),
    (rb"RIFF.{4}AVI ", Kind("avi", "video/x-msvideo")),
    (rb"FLV\x01", Kind("flv", "video/x-flv")),
    (rb"G.{187}G.{187}G", Kind("ts", "video/mp2t")),
    (rb"glTF", Kind("glb", "model/gltf-binary")),
)
_KINDS = tuple((re.compile(signature, re.DOTALL), kind) for signature, kind in _SIGNATURES)
_KNOWN_TYPES = frozenset(kind.content_type for _, kind in _SIGNATURES)
_OPEN_TYPES = frozenset({"", "application/octet-stream", "binary/octet-stream"})
_MEDIA_TYPE = re.compile(r"(video|audio|image)/[a-z0-9][a-z0-9.+-]{0,60}")


def identify(head: bytes, stated: str | None) -> Kind | None:
    """
    Tell a file's kind.

    :param head: its first bytes; ``HEAD_BYTES`` of them are enough.
    :param stated: the server's ``Content-Type``.
    :return: the kind; ``None`` if this is no media: text of any sort (HTML, JSON, XML), nothing at all, or bytes that
        are not what the server says. Unknown bytes pass if the server calls them media of a kind not known here, or
        leaves open what they are.
    """
    if _is_text(head):
        return None
    signed = (kind for signature, kind in _KINDS if signature.match(head))
    return next(signed, None) or _by_word(stated)


def _by_word(stated: str | None) -> Kind | None:
    content_type = (stated or "").partition(";")[0].strip().lower()
    if content_type in _OPEN_TYPES:
        return BINARY
    if content_type in _KNOWN_TYPES or not _MEDIA_TYPE.fullmatch(content_type):
        return None
    return Kind(BINARY.extension, content_type)


def _is_text(head: bytes) -> bool:
    """Nothing, or UTF-8 or UTF-16 without control characters; a character cut off at the end does not matter."""
    if head.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return True
    try:
        text = codecs.getincrementaldecoder("utf-8-sig")().decode(head)
    except UnicodeDecodeError:
        return False
    return all(char.isprintable() or char in "\t\n\r\f" for char in text)
