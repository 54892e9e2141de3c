# SPDX-License-Identifier: Apache-2.0
"""The media type of a file, by its bytes."""

from __future__ import annotations

import bz2
import codecs
import gzip
import io
import lzma
import os
import tarfile
import zipfile

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_evolink.landing.media_types import HEAD_BYTES, MediaType, identify
from tests.landing.real_media import AV1, pictures, quiet_pcm, sound

SAMPLES = {
    "mp4": b"\x00\x00\x00\x20ftypisom\x00\x00\x02\x00isomiso2avc1mp41",
    "mov": b"\x00\x00\x00\x14ftypqt  \x00\x00\x02\x00",
    "m4a": b"\x00\x00\x00\x20ftypM4A \x00\x00\x02\x00",
    "avif": b"\x00\x00\x00\x20ftypavif\x00\x00\x00\x00",
    "heic": b"\x00\x00\x00\x20ftypheic\x00\x00\x00\x00",
    "webm": b"\x1a\x45\xdf\xa3\x9f\x42\x86\x81\x01\x42\x82\x84webm\x42\x87",
    "mkv": b"\x1a\x45\xdf\xa3\xa3\x42\x86\x81\x01\x42\x82\x88matroska",
    "avi": b"RIFF\x24\x00\x00\x00AVI LIST",
    "flv": b"FLV\x01\x05\x00\x00\x00\x09",
    "ts": (b"G" + bytes(187)) * 3,
    "png": b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR",
    "jpg": b"\xff\xd8\xff\xe0\x00\x10JFIF",
    "webp": b"RIFF\x24\x00\x00\x00WEBPVP8 ",
    "gif": b"GIF89a\x01\x00\x01\x00",
    "tiff": b"II*\x00\x08\x00\x00\x00",
    "bmp": b"BM\x46\x00\x00\x00\x00\x00\x00\x00\x36\x00",
    "mp3": b"\xff\xfb\x90\x64\x00\x0f",
    "aac": b"\xff\xf1\x50\x80\x02\x1f\xfc",
    "wav": b"RIFF\x24\x00\x00\x00WAVEfmt ",
    "ogg": b"OggS\x00\x02\x00\x00",
    "flac": b"fLaC\x00\x00\x00\x22",
    "aiff": b"FORM\x00\x00\x00\x2eAIFFCOMM",
    "glb": b"glTF\x02\x00\x00\x00",
}


@pytest.mark.parametrize("extension", SAMPLES)
@pytest.mark.parametrize("stated", [None, "application/octet-stream", "text/html; charset=utf-8", "video/mp4"])
def test_bytes_decide(extension: str, stated: str | None) -> None:
    """The bytes decide, whatever content type the server states."""
    media_type = identify(SAMPLES[extension], stated)
    assert media_type
    assert media_type.extension == extension


def test_mp3_with_a_tag() -> None:
    """An MP3 may begin with an ID3 tag."""
    assert identify(b"ID3\x04\x00\x00\x00\x00\x00\x23TSSE", None) == MediaType("mp3", "audio/mpeg")


@pytest.mark.parametrize(
    ("stated", "media_type"),
    [
        (None, MediaType("bin", "application/octet-stream")),
        ("binary/octet-stream", MediaType("bin", "application/octet-stream")),
        ("video/x-new; codecs=a", MediaType("bin", "video/x-new")),
        ("IMAGE/JXL", MediaType("jxl", "image/jxl")),
        ("video/mp4", MediaType("mp4", "video/mp4")),
        ("audio/x-wav", MediaType("wav", "audio/wav")),
        ("application/x-new", MediaType("bin", "application/x-new")),
        ("application/zip", None),
        ("application/problem+json", None),
        ("text/plain", None),
        ("text/html", None),
        ("video/", MediaType("bin", "application/octet-stream")),
        ("video/a b", MediaType("bin", "application/octet-stream")),
        ("video/\x1b[31m", MediaType("bin", "application/octet-stream")),
    ],
)
def test_unknown_bytes(stated: str | None, media_type: MediaType | None) -> None:
    """Bytes without a known signature get the server's content type, unless that is not a media type."""
    assert identify(b"\x01\x02\x03\xfe\xff unknown", stated) == media_type


def test_only_bytes_are_certain() -> None:
    """A media type that only the server states is marked as uncertain."""
    certain, uncertain = identify(SAMPLES["mp4"], "video/mp4"), identify(b"\x01\x02\x03\xfe", "video/mp4")
    assert certain == uncertain == MediaType("mp4", "video/mp4")
    assert certain is not None
    assert uncertain is not None
    assert (certain.is_certain, uncertain.is_certain) == (True, False)


MP4, VIDEO, MP3, FLAC = sound("mp4", "aac"), pictures("mp4", "mpeg4"), sound("mp3", "libmp3lame"), sound("flac", "flac")
WEBM, MKV = sound("webm", "libopus"), sound("matroska", "libopus")
AVIF = pictures("avif", AV1, 1)
FRAMES = MP3[10 + MP3[9] :]
OGG_PAGE = b"OggS\x00\x02" + bytes(20) + b"\x01\x2a"


def tagged(rest: bytes, tag: int) -> bytes:
    """Put an ID3 tag of ``tag`` bytes before the audio."""
    return b"ID3\x03\x00\x00" + bytes(tag >> 7 * position & 0x7F for position in (3, 2, 1, 0)) + bytes(tag) + rest


@pytest.mark.parametrize(
    ("data", "stated", "extension", "content_type"),
    [
        (MP4, "audio/mp4", "m4a", "audio/mp4"),
        (MP4, "audio/x-m4a; codecs=mp4a.40.2", "m4a", "audio/mp4"),
        (MP4, None, "mp4", "video/mp4"),
        (VIDEO, "application/octet-stream", "mp4", "video/mp4"),
        (sound("ipod", "aac"), "video/mp4", "m4a", "audio/mp4"),
        (pictures("mov", "mpeg4"), "video/mp4", "mov", "video/quicktime"),
        (b"\x00\x00\x00\x08free" + VIDEO, "video/mp4", "mp4", "video/mp4"),
        (b"\x00\x00\x00\x18free" + bytes(16) + pictures("mov", "mpeg4"), None, "mov", "video/quicktime"),
        (b"\x00\x00\x20\x00free" + bytes(8184) + VIDEO, None, "mp4", "video/mp4"),
        (b"\x00\x00\x00\x18stypmsdh\x00\x00\x00\x00msdhmsix", "video/mp4", "mp4", "video/mp4"),
        (b"\x00\x00\x00\x18stypmsdh\x00\x00\x00\x00msdhmsix", "audio/mp4", "m4a", "audio/mp4"),
        (b"\x00\x00\x00\x08wide\x00\x01\x00\x00mdat", None, "mov", "video/quicktime"),
        (VIDEO[VIDEO.index(b"mdat") - 4 :], "video/mp4", "mp4", "video/mp4"),
        (WEBM, "audio/webm;codecs=opus", "webm", "audio/webm"),
        (WEBM, None, "webm", "video/webm"),
        (pictures("webm", "libvpx-vp9"), "application/octet-stream", "webm", "video/webm"),
        (MKV, "audio/x-matroska", "mka", "audio/x-matroska"),
        (sound("ogg", "libopus"), "application/ogg", "ogg", "audio/ogg"),
        (sound("ogg", "libopus"), "audio/opus", "ogg", "audio/ogg"),
        (OGG_PAGE + b"\x80theora\x03\x02\x01" + bytes(40), None, "ogv", "video/ogg"),
        (OGG_PAGE + b"\x01vorbis" + bytes(23) + OGG_PAGE + b"\x80theora", "audio/ogg", "ogv", "video/ogg"),
        (OGG_PAGE + b"\x01vorbis" + bytes(23), "video/ogg", "ogv", "video/ogg"),
        (OGG_PAGE + b"fishead\x00" + bytes(72), "audio/ogg", "ogg", "audio/ogg"),
        (OGG_PAGE + b"fishead\x00" + bytes(72), None, "ogv", "video/ogg"),
        (tagged(b"", 5000)[:4096], "audio/aacp", "aac", "audio/aac"),
        (tagged(b"", 5000)[:4096], "video/mp4", "mp3", "audio/mpeg"),
        (AVIF, None, "avif", "image/avif"),
        (AVIF.replace(b"ftypavif", b"ftypmif1", 1), "image/avif", "avif", "image/avif"),
        (AVIF.replace(b"ftypavif", b"ftypmif1", 1), None, "avif", "image/avif"),
        (AVIF.replace(b"ftypavif", b"ftypmif1", 1).replace(b"avif", b"heic", 1), None, "heic", "image/heic"),
        (MP3, None, "mp3", "audio/mpeg"),
        (FRAMES, "application/octet-stream", "mp3", "audio/mpeg"),
        (bytes(1) + FRAMES, None, "mp3", "audio/mpeg"),
        (bytes(1105) + FRAMES, "audio/mpeg", "mp3", "audio/mpeg"),
        (bytes(5000) + FRAMES, "audio/mp3", "mp3", "audio/mpeg"),
        (tagged(FLAC, 300), None, "flac", "audio/flac"),
        (tagged(FLAC, 100_000), "audio/x-flac", "flac", "audio/flac"),
        (tagged(FRAMES, 100_000), "application/octet-stream", "mp3", "audio/mpeg"),
        (tagged(sound("adts", "aac"), 63), None, "aac", "audio/aac"),
        (sound("latm", "aac"), "audio/aac", "latm", "audio/mp4a-latm"),
        (sound("latm", "aac"), None, "latm", "audio/mp4a-latm"),
        (sound("wav", "pcm_s16le", rf64="always"), "audio/wav", "wav", "audio/wav"),
        (b"II+\x00\x08\x00\x00\x00\x10" + bytes(40), "image/tiff", "tiff", "image/tiff"),
        (b"MM\x00+\x00\x08\x00\x00" + bytes(40), None, "tiff", "image/tiff"),
        (pictures("mpeg", "mpeg2video"), None, "mpg", "video/mpeg"),
    ],
)
def test_real_files(data: bytes, stated: str | None, extension: str, content_type: str) -> None:
    """Files of real encoders are identified by their bytes, and by the content type where a container is ambiguous."""
    assert identify(data[:HEAD_BYTES], stated) == MediaType(extension, content_type)


@pytest.mark.parametrize(
    ("stated", "content_type"),
    [
        ("audio/pcm", "audio/pcm"),
        ("audio/L16;rate=24000", "audio/l16;rate=24000"),
        ("audio/L16; codec=pcm; rate=24000; channels=1", "audio/l16;rate=24000;channels=1"),
        ("audio/L16; rate=x", "audio/l16"),
    ],
)
@pytest.mark.parametrize("big", [False, True], ids=["little", "big"])
def test_headerless_audio(stated: str, content_type: str, big: bool) -> None:
    """However quietly it begins, stated PCM is PCM, with the rate and channels; unstated, it is binary."""
    for seed in range(500):
        data = quiet_pcm(seed, big=big)[:HEAD_BYTES]
        assert identify(data, stated) == MediaType("pcm", content_type)
        assert identify(data, "application/octet-stream") is not None


@pytest.mark.parametrize("start", [codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE, codecs.BOM_UTF32_LE, codecs.BOM_UTF8])
def test_byte_order_mark_alone_is_not_text(start: bytes) -> None:
    """Headerless audio may begin with the same bytes."""
    data = start + quiet_pcm(7)
    assert identify(data[:HEAD_BYTES], "audio/pcm") == MediaType("pcm", "audio/pcm")
    assert identify(data[:HEAD_BYTES], None) == MediaType("bin", "application/octet-stream")


PAGES = [
    "<!DOCTYPE html>\n<html><head><title>Accès refusé</title></head><body>Réessayez plus tard</body></html>",
    "<html><head><meta charset=gbk><title>访问被拒绝</title></head><body>请稍后再试</body></html>",
    "\r\n  <!-- 错误 --><HTML lang=zh><body>禁止访问</body></HTML>",
    "<center><h1>403 禁止访问</h1></center>",
    "访问被拒绝<br/>请稍后再试",
    "<?xml version='1.0'?><Error><Code>ExpiredToken</Code><Message>令牌过期</Message></Error>",
]


@pytest.mark.parametrize(
    "encoding", ["latin-1", "gbk", "big5", "shift-jis", "utf-16-le", "utf-16-be", "utf-16", "utf-32"]
)
@pytest.mark.parametrize("page", PAGES)
@pytest.mark.parametrize("stated", ["application/octet-stream", "video/mp4", "audio/pcm", "text/html"])
def test_page_in_any_charset_is_not_media(page: str, encoding: str, stated: str) -> None:
    """An error page is not a media file, in whatever charset."""
    if encoding.startswith("utf-16-") and not page.lstrip().startswith("<"):
        page = f"<p>{page}"
    assert identify(page.encode(encoding, "replace")[:HEAD_BYTES], stated) is None


def test_text_in_a_legacy_charset_is_not_media() -> None:
    """Text that is neither UTF-8 nor a page is still text."""
    assert identify("Accès refusé : le lien a expiré. Réessayez.".encode("latin-1"), "video/mp4") is None


@pytest.mark.parametrize("stated", ["application/octet-stream", "video/mp4", "audio/pcm", None])
@pytest.mark.parametrize("archive_format", ["zip", "gzip", "bz2", "xz", "tar", "pdf"])
def test_archives_and_documents_are_not_media(archive_format: str, stated: str | None) -> None:
    """An archive or a document is not a media file."""
    file = io.BytesIO()
    if archive_format == "zip":
        with zipfile.ZipFile(file, "w") as archive:
            archive.writestr("a.mp4", VIDEO)
    elif archive_format == "tar":
        with tarfile.open(fileobj=file, mode="w") as tar:
            tar.addfile(tarfile.TarInfo("a.mp4"))
    else:
        compressors = {
            "gzip": gzip.compress,
            "bz2": bz2.compress,
            "xz": lzma.compress,
            "pdf": lambda data: b"%PDF-1.7\n" + data,
        }
        file.write(compressors[archive_format](VIDEO))
    assert identify(file.getvalue()[:HEAD_BYTES], stated) is None


@given(st.text(max_size=300), st.sampled_from(["utf-8", "utf-8-sig", "utf-16"]), st.booleans())
def test_text_is_never_media(text: str, encoding: str, is_cut: bool) -> None:
    """A page, in whatever script and encoding, even cut within a character, is not taken for a video."""
    page = f"<html>{text}".replace("\x00", "")
    if not all(char.isprintable() or char in "\t\n\r\f" for char in page):
        page = "<html>"
    data = page.encode(encoding, "ignore")
    media_type = identify(data[:-1] if is_cut and encoding != "utf-8-sig" else data, "video/mp4")
    assert media_type is None


@given(st.binary(max_size=600), st.text(max_size=40) | st.none())
def test_never_fails(head: bytes, stated: str | None) -> None:
    """Any bytes and any content type give a media type that can be part of a file name, or none."""
    media_type = identify(head, stated)
    assert media_type is None or (media_type.extension.isalnum() and media_type.content_type.isprintable())


@pytest.mark.parametrize("text", [b"The wide world", b"BM", b"ID3 not found", codecs.BOM_UTF16_LE + b"<\x00h\x00"])
def test_text_that_begins_like_media(text: bytes) -> None:
    """Text that happens to begin with a signature is still text."""
    assert identify(text, "video/mp4") is None


@pytest.mark.skipif(not hasattr(os, "sched_getscheduler"), reason="Linux has scheduling policies")
def test_encoding_leaves_scheduling_alone() -> None:
    """A real encoder does not turn these tests, and what they start, into real-time processes."""
    pictures.__wrapped__("avif", AV1, 1)
    assert os.sched_getscheduler(0) == os.SCHED_OTHER
