# SPDX-License-Identifier: Apache-2.0
"""Tell media types that share a container apart: MP4 and its relatives, Matroska and WebM, Ogg. Pure.

Media types are pairs here: a file name extension and a content type.
"""

from __future__ import annotations

import re

Pair = tuple[str, str]

_MP4, _M4A, _MOV = ("mp4", "video/mp4"), ("m4a", "audio/mp4"), ("mov", "video/quicktime")
_AVIF, _HEIC = ("avif", "image/avif"), ("heic", "image/heic")
_WEBM, _WEBM_AUDIO = ("webm", "video/webm"), ("webm", "audio/webm")
_MKV, _MKA = ("mkv", "video/x-matroska"), ("mka", "audio/x-matroska")
_OGG, _OGV = ("ogg", "audio/ogg"), ("ogv", "video/ogg")
MEDIA_TYPES = (_MP4, _M4A, _MOV, _AVIF, _HEIC, _WEBM, _WEBM_AUDIO, _MKV, _MKA, _OGG, _OGV)

# Boxes that may come before the one that names the brands, or instead of it in old QuickTime files.
_PADDING = frozenset({b"free", b"skip", b"wide", b"uuid"})
_SEGMENTS = frozenset({b"styp", b"sidx", b"moof"})
_QUICKTIME_BOXES = frozenset({b"moov", b"mdat", b"pnot"})
_BOX_HEADER = 8
_IMAGE_BRANDS = (
    ({b"avif", b"avis"}, _AVIF),
    ({b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1"}, _HEIC),
)
_AUDIO_BRANDS = frozenset({b"M4A ", b"M4B ", b"M4P ", b"F4A ", b"F4B "})
_THEORA = re.compile(rb"\x80theora|BBCD\x00")
# Precedes the streams, which may be of any type.
_SKELETON = b"fishead\x00"


def detect(head: bytes, stated: str) -> Pair | None:
    """Identify a file that is one of these containers.

    :param head: its first bytes.
    :param stated: the server's content type, in lower case, without parameters; it decides between audio and video
        where the first bytes don't.
    :return: ``None`` for any other file.
    """
    if head.startswith(b"\x1a\x45\xdf\xa3"):
        return _matroska(head[:256], is_audio=stated.startswith("audio/"))
    if head.startswith(b"OggS"):
        return _ogg(head, stated)
    return _iso_media(head, stated)


def _ogg(head: bytes, stated: str) -> Pair:
    may_be_video = _SKELETON in head and not stated.startswith("audio/")
    return _OGV if _THEORA.search(head) or may_be_video or stated == "video/ogg" else _OGG


def _matroska(head: bytes, *, is_audio: bool) -> Pair:
    if b"webm" in head:
        return _WEBM_AUDIO if is_audio else _WEBM
    return _MKA if is_audio else _MKV


def _iso_media(head: bytes, stated: str) -> Pair | None:
    offset = 0
    while (name := head[offset + 4 : offset + 8]) in _PADDING and (
        size := int.from_bytes(head[offset : offset + 4])
    ) >= _BOX_HEADER:
        offset += size
    if name == b"ftyp":
        return _by_brand(head[offset:], stated)
    if name in _SEGMENTS:
        return _mp4(stated)
    if name in _QUICKTIME_BOXES or (offset and not name):
        is_quicktime = head[4:8] in _QUICKTIME_BOXES | {b"wide"} and stated not in {_MP4[1], _M4A[1]}
        return _MOV if is_quicktime else _mp4(stated)
    return None


def _by_brand(box: bytes, stated: str) -> Pair:
    size = int.from_bytes(box[:4])
    major, others = box[8:12], {box[offset : offset + 4] for offset in range(16, min(size, len(box)), 4)}
    if major == b"qt  ":
        return _MOV
    if major in _AUDIO_BRANDS:
        return _M4A
    for brands, media_type in _IMAGE_BRANDS:
        if major in brands - {b"mif1", b"msf1"}:
            return media_type
    if major in {b"mif1", b"msf1"}:
        return next(media_type for brands, media_type in _IMAGE_BRANDS if {major, *others} & brands)
    return _mp4(stated)


def _mp4(stated: str) -> Pair:
    return _M4A if stated.startswith("audio/") else _MP4
