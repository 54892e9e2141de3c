from __future__ import annotations

import codecs

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_evolink.landing.kinds import Kind, identify

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
    """A kind is told by the bytes, whatever the server calls it."""
    kind = identify(SAMPLES[extension], stated)
    assert kind
    assert kind.extension == extension


def test_old_mp3_with_a_tag() -> None:
    """An MP3 may begin with its title."""
    assert identify(b"ID3\x04\x00\x00\x00\x00\x00\x23TSSE", None) == Kind("mp3", "audio/mpeg")


@pytest.mark.parametrize(
    ("stated", "kind"),
    [
        (None, Kind("bin", "application/octet-stream")),
        ("binary/octet-stream", Kind("bin", "application/octet-stream")),
        ("video/x-new; codecs=a", Kind("bin", "video/x-new")),
        ("IMAGE/JXL", Kind("bin", "image/jxl")),
        ("video/mp4", None),
        ("application/zip", None),
        ("text/plain", None),
        ("video/", None),
        ("video/a b", None),
        ("video/\x1b[31m", None),
    ],
)
def test_unknown_bytes(stated: str | None, kind: Kind | None) -> None:
    """Bytes without a known signature pass as media of an unknown kind, never as a kind they are not."""
    assert identify(b"\x01\x02\x03\xfe\xff unknown", stated) == kind


@given(st.text(max_size=300), st.sampled_from(["utf-8", "utf-8-sig", "utf-16"]), st.booleans())
def test_text_is_never_media(text: str, encoding: str, is_cut: bool) -> None:
    """A page, whatever its script and encoding, even cut within a character, is not taken for a video."""
    page = f"<html>{text}".replace("\x00", "")
    if not all(char.isprintable() or char in "\t\n\r\f" for char in page):
        page = "<html>"
    data = page.encode(encoding, "ignore")
    kind = identify(data[:-1] if is_cut and encoding != "utf-8-sig" else data, "video/mp4")
    assert kind is None


@given(st.binary(max_size=600), st.text(max_size=40) | st.none())
def test_never_fails(head: bytes, stated: str | None) -> None:
    """Any bytes and any content type get an answer, and one that can be part of a file name."""
    kind = identify(head, stated)
    assert kind is None or (kind.extension.isalnum() and kind.content_type.isprintable())


@pytest.mark.parametrize("text", [b"The wide world", b"BM", b"ID3 not found", codecs.BOM_UTF16_LE + b"<\x00h\x00"])
def test_text_that_begins_like_media(text: bytes) -> None:
    """Words that happen to hold a signature are words."""
    assert identify(text, "video/mp4") is None
