# SPDX-License-Identifier: Apache-2.0
"""Whatever a user passes as an image becomes one of the forms that EvoLink accepts, or is rejected."""

from __future__ import annotations

import base64
import contextlib
import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from airflow_provider_evolink.api.errors import InvalidInputError
from airflow_provider_evolink.api.media import (
    MAX_IMAGE_BYTES,
    describe_content,
    image_reference,
    inline_image,
    sniff_image,
)
from airflow_provider_evolink.api.request import MAX_BODY_BYTES

DATA = Path(__file__).parents[1] / "data"
FRAMES = {"png": DATA / "frame.png", "jpeg": DATA / "frame.jpg", "webp": DATA / "frame.webp"}
GIF = (DATA / "frame.gif").read_bytes()
each_kind = pytest.mark.parametrize("kind", FRAMES)


def encoded(data: bytes) -> str:
    """Encode as bare base64."""
    return base64.b64encode(data).decode()


def never(path: str) -> bytes:
    """Stand in for storage that must not be read."""
    raise AssertionError(f"read {path!r}")


def read(path: str) -> bytes:
    """Read a local file."""
    return Path(path).read_bytes()


def refusal(image: object, data: bytes | None = None) -> str:
    """Return the error about an image; if it is a path, these bytes are behind it."""
    with pytest.raises(InvalidInputError) as raised:
        image_reference(image, never if data is None else lambda _: data)  # type: ignore[arg-type]
    assert raised.value.parameter == "image"
    return str(raised.value)


@pytest.mark.parametrize("fill", [1, 2, 40, 200])
def test_a_jpeg_may_have_fill_bytes(fill: int) -> None:
    """Any number of fill bytes may precede a JPEG's first marker, in a file, a data URL or bare base64."""
    jpeg = FRAMES["jpeg"].read_bytes()
    data = jpeg[:2] + b"\xff" * fill + jpeg[2:]
    assert sniff_image(data) == "jpeg"
    assert image_reference("a.jpg", lambda _: data) == f"data:image/jpeg;base64,{encoded(data)}"
    assert inline_image(encoded(data), "image") == encoded(data)


@each_kind
def test_documented_media_types_are_recognized(kind: str) -> None:
    """Real png, jpeg and webp images are recognized by their first bytes."""
    assert sniff_image(FRAMES[kind].read_bytes()) == kind


@each_kind
def test_a_truncated_header_is_not_an_image(kind: str) -> None:
    """A file that ends within its header counts as damaged."""
    for length in range(3, 20):
        assert sniff_image(FRAMES[kind].read_bytes()[:length]) is None
    assert describe_content(FRAMES[kind].read_bytes()[:16]) == "a truncated or damaged image"


@pytest.mark.parametrize(
    ("data", "description"),
    [
        (b"", "empty"),
        (b" \n", "empty"),
        (GIF, "a GIF image"),
        (b"BM" + bytes(60), "a BMP image"),
        (b"II*\0" + bytes(60), "a TIFF image"),
        (b"MM\0*" + bytes(60), "a TIFF image"),
        (b"\0\0\0\x20ftypavif" + bytes(60), "an AVIF image"),
        (b"\0\0\0\x20ftypheic" + bytes(60), "a HEIC image"),
        (b"\0\0\0\x20ftypisom" + bytes(60), "a video"),
        (b"\x1aE\xdf\xa3" + bytes(60), "a video"),
        (b"%PDF-1.7\n", "a PDF document"),
        (b"PK\x03\x04" + bytes(60), "a ZIP archive"),
        (b"RIFF\0\0\0\0WEBPVP8 ", "a truncated or damaged image"),
        (b"\n<!DOCTYPE html><html>", "an HTML page"),
        (b"\xef\xbb\xbf<html>", "an HTML page"),
        (b'<svg xmlns="http://www.w3.org/2000/svg"/>', "an SVG drawing"),
        (b'<?xml version="1.0"?>\n<!-- x -->\n<svg/>', "an SVG drawing"),
        (b"<?xml version='1.0'?><Error>AccessDenied</Error>", "XML or HTML text"),
        (b'{"error": "not found"}', "JSON text"),
        (b"version https://git-lfs.github.com/spec/v1\n", "plain text"),
        (b"RIFF\0\0\0\0WAVEfmt " + bytes(60), "unknown data"),
        (bytes(100), "unknown data"),
    ],
)
def test_other_files_are_rejected_with_what_they_are(data: bytes, description: str) -> None:
    """Whatever is not a png, jpeg or webp is rejected, and the error says what it looks like."""
    assert sniff_image(data) is None
    assert f"this is {description}" in refusal("photos/cat.png", data)


@each_kind
def test_a_file_becomes_a_data_url(kind: str) -> None:
    """A local file is sent as a data URL whose type is that of its bytes."""
    data = FRAMES[kind].read_bytes()
    assert image_reference(str(FRAMES[kind]), read) == f"data:image/{kind};base64,{encoded(data)}"


def test_the_name_of_a_file_does_not_matter() -> None:
    """A misnamed file gets the type of its bytes, and a storage URI is read as given."""
    uris = []

    def storage(uri: str) -> bytes:
        uris.append(uri)
        return FRAMES["webp"].read_bytes()

    assert image_reference("s3://conn@bucket/photo.png\n", storage).startswith("data:image/webp;base64,")
    assert uris == ["s3://conn@bucket/photo.png"]


@pytest.mark.parametrize(
    "url", ["https://example.com/portrait.jpg", "http://example.com/portrait.jpg", "HTTPS://example.com/a?b=c"]
)
def test_links_are_sent_unchanged(url: str) -> None:
    """A public http or https URL is neither read nor changed, whitespace around it aside."""
    assert image_reference(url, never) == url
    assert image_reference(f" {url}\n", never) == url


@pytest.mark.parametrize(
    "url", ["http://127.0.0.1/a.png", "https://10.1.2.3/a.png", "http://localhost:8080/a.png", "https://u:p@a.com/"]
)
def test_links_that_evolink_cannot_follow_are_rejected(url: str) -> None:
    """A link to a private host, or with a password, is rejected before anything is sent."""
    assert "must be a public http or https URL" in refusal(url)


@each_kind
@pytest.mark.parametrize("declared", ["image/png", "image/jpg", "image/jpeg", "image/gif", "", "text/plain;charset=x"])
def test_data_urls_get_their_real_type(kind: str, declared: str) -> None:
    """A data URL is sent with the type of its bytes, whatever it declares."""
    payload = encoded(FRAMES[kind].read_bytes())
    assert image_reference(f"data:{declared};base64,{payload}", never) == f"data:image/{kind};base64,{payload}"
    assert image_reference(f"DATA:{declared};BASE64, {payload}\n", never) == f"data:image/{kind};base64,{payload}"


@pytest.mark.parametrize(
    "image",
    [
        "data:",
        "data:image/png",
        "data:image/png,abc",
        "data:image/png;base64",
        "data:image/png;base64,a",
        "data:image/png;base64,iVBORw0KGgo!",
        "data:image/png;base64,iVBORw0KGgoAAA",
        "data:image/svg+xml;utf8,<svg/>",
    ],
)
def test_malformed_data_urls_are_rejected(image: str) -> None:
    """A data URL without an image or with broken base64 is rejected."""
    assert "must be a png, jpeg or webp image" in refusal(image)


@pytest.mark.parametrize("junk", ["!", "-", "=", "====", "\0", "é", ",", "%3D"])
def test_base64_is_decoded_strictly(junk: str) -> None:
    """A data URL with one foreign character in its base64 is rejected, though lax decoders skip it."""
    payload = encoded(FRAMES["png"].read_bytes())
    assert "in valid base64" in refusal(f"data:image/png;base64,{payload}{junk}")
    assert "in valid base64" in refusal(f"data:image/png;base64,{payload[:80]}{junk}{payload[80:]}")


def test_data_urls_of_other_media_types_are_rejected() -> None:
    """A GIF that is declared as a PNG is rejected as a GIF."""
    assert "this is a GIF image" in refusal(f"data:image/png;base64,{encoded(GIF)}")


@each_kind
def test_bare_base64_stays_bare(kind: str) -> None:
    """Bare base64 is sent as it is, without line breaks; a JPEG's ("/9j/...") is not taken for an absolute path."""
    data = FRAMES[kind].read_bytes()
    assert encoded(data).startswith("/9j/") == (kind == "jpeg")
    assert image_reference(encoded(data), never) == encoded(data)
    assert image_reference(base64.encodebytes(data).decode(), never) == encoded(data)


@pytest.mark.parametrize("path", ["cat", "images/cat1", "/9j/abcd", "/9j/photo.jpg", "iVBORw0K", "a/b c/ü.png", "~/a"])
def test_paths_that_could_be_base64_are_read(path: str) -> None:
    """A path is read even if it is valid base64."""
    assert image_reference(path, lambda _: FRAMES["png"].read_bytes()).startswith("data:image/png;base64,")


@each_kind
def test_damaged_base64_is_rejected(kind: str) -> None:
    """Base64 that begins like an image and is damaged later is not taken for a path."""
    payload = encoded(FRAMES[kind].read_bytes())
    for damaged in (payload[:-3], payload[:-1] + "!", payload[:70] + "-" + payload[71:]):
        assert "truncated or damaged" in refusal(damaged)


def test_base64_of_other_media_types_is_rejected_with_its_type() -> None:
    """Base64 of a GIF is rejected as a GIF, long or short."""

    def missing(path: str) -> bytes:
        raise FileNotFoundError(2, "No such file or directory", path)

    assert "this is a GIF image" in refusal(encoded(GIF * 4))
    assert "this is a GIF image" in refusal(base64.encodebytes(GIF).decode())
    with pytest.raises(InvalidInputError, match="as base64 it is a GIF image"):
        image_reference(encoded(GIF[:60]), missing)


@pytest.mark.parametrize(
    "error",
    [
        FileNotFoundError(2, "No such file or directory", "a.png"),
        PermissionError(13, "Permission denied"),
        IsADirectoryError(21, "Is a directory"),
        ValueError("Protocol not known: foo"),
        ImportError("Install s3fs to access S3"),
    ],
)
def test_a_path_that_cannot_be_read_is_rejected(error: Exception) -> None:
    """The error has the path and the storage's own error."""

    def fails(path: str) -> bytes:
        raise error

    with pytest.raises(InvalidInputError) as raised:
        image_reference("foo://bucket/a.png", fails)
    assert "foo://bucket/a.png" in str(raised.value)
    assert str(error) in str(raised.value)


@pytest.mark.parametrize("error", [ConnectionResetError(), TimeoutError()])
def test_unreachable_storage_is_not_bad_input(error: Exception) -> None:
    """A network error of the storage passes through unchanged, so that a retry can help."""

    def fails(path: str) -> bytes:
        raise error

    with pytest.raises(type(error)):
        image_reference("s3://bucket/a.png", fails)


@pytest.mark.parametrize("image", [None, "", "  \n", 5, b"abc", ["https://example.com/a.png"]])
def test_blank_is_not_an_image(image: object) -> None:
    """Blank text, and anything but text, is rejected."""
    assert "must be a png, jpeg or webp image" in refusal(image)


def test_the_largest_image_fits_into_a_request() -> None:
    """An image of the largest size allowed leaves room in a request; a byte more is rejected."""
    png = FRAMES["png"].read_bytes()
    largest = png + bytes(MAX_IMAGE_BYTES - len(png))
    reference = image_reference("a.png", lambda _: largest)
    assert len(json.dumps(reference)) + 2**20 < MAX_BODY_BYTES
    assert "at most 47 MB" in refusal("a.png", largest + b"\0")
    assert "at most 47 MB" in refusal(f"data:image/png;base64,{encoded(largest + bytes(3))}")
    assert "at most 47 MB" in refusal(encoded(largest + bytes(3)))
    assert "at most 47 MB" in refusal("A" * (2 * MAX_IMAGE_BYTES + 1))


def test_an_error_never_shows_an_image() -> None:
    """An image in an error is shortened."""
    assert len(refusal("!" * 100_000)) < 400
    assert len(refusal(f"data:image/png;base64,{encoded(GIF * 100)}")) < 400


def test_inline_image_names_the_callers_parameter() -> None:
    """The error names the parameter that the caller gives."""
    with pytest.raises(InvalidInputError, match=r"^`image_urls\[0\]`="):
        inline_image("data:,", "image_urls[0]")
    assert inline_image("photos/cat.png", "image_urls[0]") is None


@pytest.mark.timeout(20)
@pytest.mark.parametrize(
    "junk",
    ["a b ", "/9j/", "\n", ".", "data:", "data:image/png;base64,", "http://", "https://ä", "https://a.com/@", "="],
)
def test_megabytes_of_junk_are_judged_quickly(junk: str) -> None:
    """Judging a text takes only a moment, however long or odd it is."""
    try:
        assert inline_image(junk * (4_000_000 // len(junk)), "image") is not None
    except InvalidInputError as error:
        assert len(str(error)) < 400


beginnings = st.sampled_from(["", "data:", "data:image/png;base64,", "http://", "https://", "/9j/", "s3://"])


@settings(max_examples=300, database=None, deadline=2000)
@given(beginnings, st.one_of(st.text(), st.binary().map(encoded)), st.binary())
def test_any_image_is_judged_without_a_crash(beginning: str, rest: str, data: bytes) -> None:
    """Any text and any file is either turned into a form that EvoLink accepts or rejected."""
    assert describe_content(data)
    with contextlib.suppress(InvalidInputError):
        reference = image_reference(beginning + rest, lambda _: data)
        assert reference.startswith(("http", "data:image/")) or sniff_image(base64.b64decode(reference))
