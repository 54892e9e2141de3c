# SPDX-License-Identifier: Apache-2.0
"""Identify the media type of a file by its first bytes (content sniffing).

The server's content type is not enough: an error page may come as ``video/mp4``, a video as
``application/octet-stream``. The content types of EvoLink's links are undocumented; its own client goes by the first
bytes, too. The server's content type decides where the bytes don't: in a container that may hold audio or video, and
for files without a signature.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from airflow_provider_evolink.landing import containers
from airflow_provider_evolink.landing.text_detection import is_text

HEAD_BYTES = 4096


@dataclass(frozen=True, slots=True)
class MediaType:
    """A media type: its usual file name extension, without the dot, and its content type.

    ``is_certain`` is false if only the server's content type says so.
    """

    extension: str
    content_type: str
    is_certain: bool = field(default=True, compare=False)

    @property
    def family(self) -> str:
        """``video``, ``audio``, ``image`` or another top-level type."""
        return self.content_type.partition("/")[0]


BINARY = MediaType("bin", "application/octet-stream")
_MP3 = MediaType("mp3", "audio/mpeg")
_FLAC = MediaType("flac", "audio/flac")
_AAC = MediaType("aac", "audio/aac")
_LATM = MediaType("latm", "audio/mp4a-latm")

# The first match at the start of a file identifies it.
_SIGNATURES: tuple[tuple[bytes, MediaType], ...] = (
    (rb"\x89PNG\r\n\x1a\n", MediaType("png", "image/png")),
    (rb"\xff\xd8\xff", MediaType("jpg", "image/jpeg")),
    (rb"RIFF.{4}WEBP", MediaType("webp", "image/webp")),
    (rb"GIF8[79]a", MediaType("gif", "image/gif")),
    (rb"II[*+]\x00|MM\x00[*+]", MediaType("tiff", "image/tiff")),
    (rb"BM.{4}\x00{4}", MediaType("bmp", "image/bmp")),
    (rb"\x00{3}\x0cJXL \r\n\x87\n", MediaType("jxl", "image/jxl")),
    (rb"8BPS\x00[\x01\x02]", MediaType("psd", "image/vnd.adobe.photoshop")),
    (rb"(RIFF|RF64|BW64).{4}WAVE", MediaType("wav", "audio/wav")),
    (rb"fLaC", _FLAC),
    (rb"FORM.{4}AIF[FC]", MediaType("aiff", "audio/aiff")),
    (rb"caff\x00\x01", MediaType("caf", "audio/x-caf")),
    (rb"RIFF.{4}AVI ", MediaType("avi", "video/x-msvideo")),
    (rb"FLV\x01", MediaType("flv", "video/x-flv")),
    (rb"\x00\x00\x01\xba[\x21-\x7f]", MediaType("mpg", "video/mpeg")),
    (rb"G.{187}G.{187}G", MediaType("ts", "video/mp2t")),
    (rb"glTF", MediaType("glb", "model/gltf-binary")),
)
# Two or three bytes, which may as well be headerless audio. MPEG audio may begin with silence.
_FRAMES: tuple[tuple[bytes, MediaType], ...] = (
    (rb"\xff[\xe2-\xe5\xf2-\xf5\xfa-\xfd][\x10-\xeb]", _MP3),
    (rb"\x00+(\xff[\xe2-\xe5\xf2-\xf5\xfa-\xfd])[\x10-\xeb].{20,1500}?\1[\x10-\xeb]", _MP3),
    (rb"\xff[\xf0\xf1\xf8\xf9]", _AAC),
)
# Other media types that ID3 tags may precede.
_TAGGED = (_FLAC, _AAC)
_ID3 = re.compile(rb"ID3[\x02-\x04].{2}([\x00-\x7f]{4})", re.DOTALL)
_LATM_SYNC = re.compile(rb"V[\xe0-\xff]")
_NOT_MEDIA = re.compile(
    rb"PK(\x03\x04|\x05\x06|\x07\x08)|\x1f\x8b\x08|BZh[1-9]1AY|\xfd7zXZ\x00|7z\xbc\xaf\x27\x1c|Rar!\x1a\x07|"
    rb"\x28\xb5\x2f\xfd|%PDF-|\x7fELF|.{257}ustar",
    re.DOTALL,
)
_PCM_TYPES = frozenset({"audio/pcm", "audio/x-pcm", "audio/l8", "audio/l16", "audio/l20", "audio/l24", "audio/raw"})
_PARAMETERS = re.compile(r";\s*((?:rate|channels)=[0-9]{1,9})(?=\s*(?:;|$))")
_GENERIC_TYPES = frozenset({"", "application/octet-stream", "binary/octet-stream"})
_MEDIA_TYPE = re.compile(r"(video|audio|image|model|font|application)/[a-z0-9][a-z0-9.+-]{0,60}")
_TEXT_TYPE = re.compile(r"text/.*|.*[/+](json|xml|javascript|xhtml\+xml|zip|gzip|x-gzip|x-tar|pdf)")
# Other names that servers use for known content types.
_ALIASES = {
    "audio/mp3": "audio/mpeg",
    "audio/x-mpeg": "audio/mpeg",
    "audio/m4a": "audio/mp4",
    "audio/x-m4a": "audio/mp4",
    "audio/wave": "audio/wav",
    "audio/x-wav": "audio/wav",
    "audio/vnd.wave": "audio/wav",
    "audio/x-flac": "audio/flac",
    "audio/x-aac": "audio/aac",
    "audio/aacp": "audio/aac",
    "audio/opus": "audio/ogg",
    "audio/x-aiff": "audio/aiff",
    "image/jpg": "image/jpeg",
    "video/x-m4v": "video/mp4",
    "video/avi": "video/x-msvideo",
}


def _compiled(signatures: tuple[tuple[bytes, MediaType], ...]) -> tuple[tuple[re.Pattern[bytes], MediaType], ...]:
    return tuple((re.compile(signature, re.DOTALL), media_type) for signature, media_type in signatures)


_COMPILED_SIGNATURES, _COMPILED_FRAMES = _compiled(_SIGNATURES), _compiled(_FRAMES)
_BY_TYPE = {media_type.content_type: media_type for _, media_type in _SIGNATURES + _FRAMES} | {
    content_type: MediaType(extension, content_type) for extension, content_type in containers.MEDIA_TYPES
}


def identify(head: bytes, stated: str | None) -> MediaType | None:
    """Identify the media type of a file.

    :param head: its first bytes; ``HEAD_BYTES`` of them are enough.
    :param stated: the server's ``Content-Type``.
    :return: the media type; ``None`` if this is not a media file but text of any sort (HTML in any charset, JSON, XML),
        an archive, a document, or empty. Unknown bytes get the server's content type, which is not certain then;
        headerless audio keeps the rate and the channels that the server states.
    """
    content_type = (stated or "").partition(";")[0].strip().lower()
    if is_text(head):
        return None
    return _from_bytes(head, content_type) or (
        None if _NOT_MEDIA.match(head) else _from_content_type(content_type, stated or "")
    )


def _from_bytes(head: bytes, content_type: str) -> MediaType | None:
    container = containers.detect(head, content_type)
    if container is not None:
        return MediaType(*container)
    tag = _ID3.match(head)
    if tag:
        return _after_id3(head, tag[1], content_type)
    signature = _first_match(_COMPILED_SIGNATURES, head)
    if signature or content_type in _PCM_TYPES:
        return signature
    return _first_match(_COMPILED_FRAMES, head) or (_LATM if _is_latm(head) else None)


def _first_match(signatures: tuple[tuple[re.Pattern[bytes], MediaType], ...], head: bytes) -> MediaType | None:
    return next((media_type for signature, media_type in signatures if signature.match(head)), None)


def _is_latm(head: bytes) -> bool:
    """Return whether a frame begins here, followed by the next frame, or nothing, where it states that it ends."""
    end = 3 + (int.from_bytes(head[1:3]) & 0x1FFF)
    return len(head) >= end and all(_LATM_SYNC.match(head, at) for at in {0, end} - {len(head)})


def _after_id3(head: bytes, size: bytes, content_type: str) -> MediaType:
    """Look after an ID3 tag, which may precede any audio; one with a picture is longer than ``head``."""
    rest = head[10 + sum(byte << 7 * position for position, byte in enumerate(reversed(size))) :]
    media_type = _first_match(_COMPILED_SIGNATURES + _COMPILED_FRAMES, rest)
    stated = None if rest else _BY_TYPE.get(_ALIASES.get(content_type, content_type))
    return media_type or (stated if stated in _TAGGED else None) or _MP3


def _from_content_type(content_type: str, stated: str) -> MediaType | None:
    if content_type in _PCM_TYPES:
        return MediaType("pcm", ";".join([content_type, *_PARAMETERS.findall(stated.lower())[:2]]))
    if _TEXT_TYPE.fullmatch(content_type):
        return None
    if content_type in _GENERIC_TYPES or not _MEDIA_TYPE.fullmatch(content_type):
        return BINARY
    known = _BY_TYPE.get(_ALIASES.get(content_type, content_type), MediaType(BINARY.extension, content_type))
    return MediaType(known.extension, known.content_type, is_certain=False)
