# SPDX-License-Identifier: Apache-2.0
"""Input images: turn whatever a user may pass into one of the three forms that EvoLink accepts."""

from __future__ import annotations

import base64
import binascii
import re
import string
from typing import TYPE_CHECKING, Literal

from airflow_provider_evolink.api.addresses import check_public_url
from airflow_provider_evolink.api.errors import InvalidInputError, UnreadableInputError
from airflow_provider_evolink.api.wording import megabytes

if TYPE_CHECKING:
    from collections.abc import Callable

ImageKind = Literal["png", "jpeg", "webp"]

# As base64, which is a third longer, an image of this size leaves over 1 MB of a 64 MB request for the rest.
MAX_IMAGE_BYTES = 47 * 1024 * 1024

_HEAD_OF_BASE64 = re.compile(r"([A-Za-z0-9+/]{4}){0,256}")
# The longest path that Linux accepts.
_MAX_PATH = 4096

_ALLOWED = "a png, jpeg or webp image"
_SMALLER = (
    f"an image of at most {megabytes(MAX_IMAGE_BYTES)} to fit into a request (pass a larger one as a link), but this "
    "one has {}"
)

_HEADERS: tuple[tuple[ImageKind, bytes], ...] = (
    ("png", rb"\x89PNG\r\n\x1a\n\0\0\0\rIHDR.{17}"),
    # Any number of fill bytes may stand before a marker.
    ("jpeg", rb"\xff\xd8\xff+[\xc0-\xfe].{16}"),
    ("webp", rb"RIFF.{4}WEBPVP8[ LX].{10}"),
)
_OTHER_KINDS = (
    (rb"\s*$", "empty"),
    (rb"GIF8[79]a", "a GIF image"),
    (rb"BM.{4}\0\0\0\0", "a BMP image"),
    (rb"II\*\0|MM\0\*", "a TIFF image"),
    (rb".{4}ftyp(avif|avis)", "an AVIF image"),
    (rb".{4}ftyp(hei|hev|mif)", "a HEIC image"),
    (rb".{4}ftyp|\x1aE\xdf\xa3", "a video"),
    (rb"%PDF-", "a PDF document"),
    (rb"PK\x03\x04", "a ZIP archive"),
    (rb"\x89PNG|\xff\xd8|RIFF.{4}WEBP", "a truncated or damaged image"),
    (rb"(\xef\xbb\xbf)?\s*(<\?xml[^>]*>\s*)?(<!--.*?-->\s*)?<svg", "an SVG drawing"),
    (rb"(\xef\xbb\xbf)?\s*<(!doctype html|html|head|body)", "an HTML page"),
    (rb"(\xef\xbb\xbf)?\s*<", "XML or HTML text"),
    (rb"\s*[\[{]", "JSON text"),
    (rb"[\t\n\r\x20-\x7e]+$", "plain text"),
)
_PILLOW = "Pillow: Image.open(path).convert('RGB').save('picture.png')"
_CONVERSIONS = {
    **dict.fromkeys(("AVIF image", "TIFF image", "BMP image"), _PILLOW),
    "HEIC image": _PILLOW.replace(":", " and pillow-heif: pillow_heif.register_heif_opener(), then", 1),
}


def sniff_image(data: bytes) -> ImageKind | None:
    """Recognize an image's kind by its first bytes.

    :return: ``png``, ``jpeg`` or ``webp`` (the documented kinds); None for anything else, and for a truncated header.
    """
    return next((kind for kind, header in _HEADERS if re.match(header, data, re.DOTALL)), None)


def describe_content(data: bytes) -> str:
    """Describe data that is not an image EvoLink accepts."""
    head = data[:512]
    for pattern, description in _OTHER_KINDS:
        if re.match(pattern, head, re.DOTALL | re.IGNORECASE):
            return description
    return "unknown data"


def conversion_advice(description: str) -> str:
    """Return what to do about an image of a kind that hardly any model takes; nothing for other content.

    :param description: such as "a HEIC image".
    """
    how = next((how for kind, how in _CONVERSIONS.items() if kind in description), None)
    return "" if how is None else f": convert it to png or jpeg first, for example with {how}"


def image_reference(
    image: str, read: Callable[[str], bytes], *, parameter: str = "image", allow_loopback: bool = False
) -> str:
    """Turn an image into what a model takes that accepts images themselves.

    :param image: a public http or https URL, a data URL, bare base64, a path or a storage URI.
    :param parameter: name of the parameter in an error.
    :param read: returns the bytes behind a path or URI, and is called for these only. It need not read more
        than ``MAX_IMAGE_BYTES + 1`` of them.
    :param allow_loopback: accept links to this machine, which an API on this machine can follow.
    :return: a URL unchanged; bare base64 without whitespace; otherwise a data URL whose type is that of the bytes.
    :raises InvalidInputError: not a png, jpeg or webp image, or too large for a request.
    :raises UnreadableInputError: the path or URI can't be read.
    :raises ConnectionError, TimeoutError: from ``read``: the storage is unreachable. A retry may succeed.
    """
    reference = inline_image(image, parameter, allow_loopback=allow_loopback)
    if reference is not None:
        return reference
    data = _read(image.strip(), read, parameter)
    return f"data:image/{_checked(data, image, parameter)};base64,{base64.b64encode(data).decode('ascii')}"


def looks_like_url(text: str) -> bool:
    """Return whether a text is meant as an http or https URL."""
    return text.strip()[:8].lower().startswith(("http://", "https://"))


def looks_like_path(text: str) -> bool:
    """Return whether a text could be a path: not longer than any, and on one line."""
    return len(text) <= _MAX_PATH and len(text.splitlines()) == 1


def head_of_base64(text: str) -> bytes:
    """Return the first bytes that a text encodes, as base64; none if it is something else."""
    return _head(_without_whitespace(text[: 2 * _MAX_PATH]))


def decode_base64(text: str) -> bytes | None:
    """Decode base64 strictly, white space aside; None if the text is something else."""
    return _decode(_without_whitespace(text))


def as_data_url(image: str) -> str:
    """Return an image that a request may hold as a data URL, if it is bare base64; links and data URLs stay."""
    if looks_like_url(image) or image[:5].lower() == "data:":
        return image
    return f"data:image/{sniff_image(head_of_base64(image))};base64,{image}"


def inline_image(image: object, parameter: str, *, allow_loopback: bool = False) -> str | None:
    """Check an image that does not have to be read from anywhere.

    :param image: a URL, data URL or bare base64.
    :param parameter: name of the parameter in an error.
    :param allow_loopback: see :func:`image_reference`.
    :return: the image as it is sent (see :func:`image_reference`); None if it can only be a path or URI.
    :raises InvalidInputError: it has one of these forms, but can't be sent.
    """
    if not isinstance(image, str) or not image.strip():
        raise InvalidInputError(parameter, image, _ALLOWED)
    text = image.strip()
    if looks_like_url(text):
        check_public_url(text, parameter=parameter, schemes=("http", "https"), allow_loopback=allow_loopback)
        return text
    if len(text) > 2 * MAX_IMAGE_BYTES:
        raise InvalidInputError(parameter, image, _SMALLER.format(f"{megabytes(len(text) * 3 // 4)} as base64"))
    if text[:5].lower() == "data:":
        return _data_url(text, parameter)
    return _bare_base64(text, parameter)


def _data_url(text: str, parameter: str) -> str:
    header, _, payload = text.partition(",")
    payload = _without_whitespace(payload)
    data = _decode(payload) if header.lower().endswith(";base64") else None
    if data is None:
        raise InvalidInputError(parameter, text, f"{_ALLOWED} as data:image/...;base64,... in valid base64")
    return f"data:image/{_checked(data, text, parameter)};base64,{payload}"


def _bare_base64(text: str, parameter: str) -> str | None:
    # The magic bytes decide: a path may be valid base64 ("images/cat1"), and a JPEG begins like a path ("/9j/").
    payload = _without_whitespace(text)
    kind = sniff_image(_head(payload))
    if kind is None and looks_like_path(text):
        return None
    data = _decode(payload)
    if data is None:
        raise InvalidInputError(
            parameter, text, f"{_ALLOWED}; this is not a path, and as base64 it is truncated or damaged"
        )
    _checked(data, text, parameter)
    return payload


def _head(payload: str) -> bytes:
    return _decode(_HEAD_OF_BASE64.match(payload)[0]) or b""  # type: ignore[index]


def _read(image: str, read: Callable[[str], bytes], parameter: str) -> bytes:
    try:
        return read(image)
    except (ConnectionError, TimeoutError):
        raise
    except (OSError, ValueError, ImportError) as error:
        data = _decode(_without_whitespace(image))
        as_base64 = f", and as base64 it is {describe_content(data)}" if data else ""
        allowed = f"{_ALLOWED}; as a path it can't be read ({type(error).__name__}: {error}){as_base64}"
        raise UnreadableInputError(parameter, image, allowed) from None


def _checked(data: bytes, image: str, parameter: str) -> ImageKind:
    kind = sniff_image(data)
    if kind is None:
        raise InvalidInputError(parameter, image, f"{_ALLOWED}, but this is {_described(data)}")
    check_image_size(len(data), image, parameter)
    return kind


def check_image_size(size: int, image: str, parameter: str) -> None:
    """Refuse an image that does not fit into a request.

    :param size: in bytes.
    :raises InvalidInputError: it does not; states both sizes.
    """
    if size > MAX_IMAGE_BYTES:
        raise InvalidInputError(parameter, image, _SMALLER.format(megabytes(size)))


def _described(data: bytes) -> str:
    description = describe_content(data)
    return f"{description}{conversion_advice(description)}"


def _without_whitespace(text: str) -> str:
    for space in string.whitespace:
        text = text.replace(space, "")
    return text


def _decode(payload: str) -> bytes | None:
    """Decode base64 strictly; None if the text is something else."""
    try:
        return binascii.a2b_base64(payload, strict_mode=True)
    except ValueError:
        return None
