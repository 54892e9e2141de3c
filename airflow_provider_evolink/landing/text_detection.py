# SPDX-License-Identifier: Apache-2.0
"""Detect text, whatever its charset, by its first bytes: a text instead of a media file is an error page. Pure."""

from __future__ import annotations

import codecs
import re

_SPACE = "\t\n\r\f"
# A tag, with nothing before or in it that can't be in a page.
_PAGE = re.compile(rb"\s*<([a-z!?/][^\x00-\x08\x0e-\x1f]{0,2000}?>|!doctype\s|html\s|\?xml\s)", re.IGNORECASE)
_TAG_PATTERN, _CONTROL_PATTERN = r"</?[a-z][a-z0-9]{0,10}(\s[^<>]*)?/?>", r"[\x00-\x08\x0b\x0e-\x1a\x1c-\x1f\x7f]"
_TAG, _WIDE_TAG = re.compile(_TAG_PATTERN.encode(), re.IGNORECASE), re.compile(_TAG_PATTERN, re.IGNORECASE)
_CONTROL, _WIDE_CONTROL = re.compile(_CONTROL_PATTERN.encode()), re.compile(_CONTROL_PATTERN)
_WORDS = re.compile(rb"[\t\n\r\x20-\x7e]")
_WIDE_BOMS = (codecs.BOM_UTF32_LE, codecs.BOM_UTF32_BE, codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)


def is_text(head: bytes) -> bool:
    """Return whether a file with these first bytes is text: empty, a page in any charset, or words.

    A byte order mark alone does not make a text, since headerless audio may begin with the same bytes.

    :param head: the first bytes.
    """
    return _is_unicode(head) or _PAGE.match(head) is not None or _is_legacy(head) or _is_wide_page(head)


def _is_unicode(head: bytes) -> bool:
    encoding = "utf-8-sig"
    if head.startswith(_WIDE_BOMS[:2]):
        encoding = "utf-32"
    elif head.startswith(_WIDE_BOMS[2:]):
        encoding = "utf-16"
    try:
        # A character that is cut at the end does not matter.
        text = codecs.getincrementaldecoder(encoding)().decode(head)
    except UnicodeDecodeError:
        return False
    return _is_words(text)


def _is_legacy(head: bytes) -> bool:
    """Return whether this is text in a charset like Latin-1 or GBK: no control characters, mostly ASCII or tags."""
    if _CONTROL.search(head):
        return False
    return 10 * len(_WORDS.findall(head)) > 7 * len(head) or _TAG.search(head) is not None


def _is_wide_page(head: bytes) -> bool:
    """Return whether this is a page in UTF-16 without a byte order mark."""
    if b"<\0" not in head and b"\0<" not in head:
        return False
    texts = (head.decode(encoding, "ignore") for encoding in ("utf-16-le", "utf-16-be"))
    return any(_WIDE_TAG.search(text) and not _WIDE_CONTROL.search(text) for text in texts)


def _is_words(text: str) -> bool:
    return all(char.isprintable() or char in _SPACE for char in text)
