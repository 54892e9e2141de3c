# SPDX-License-Identifier: Apache-2.0
"""How a poster states which file it shows."""

from __future__ import annotations

import hashlib

import pytest

from airflow_provider_evolink.posters.stamp import shown_file, stamp
from tests.posters.media import image

JPEG = image("jpg", 64, 64)
SHA = hashlib.sha256(b"a video").hexdigest()


def test_a_poster_names_the_file_it_shows() -> None:
    """A stamped poster is still the same JPEG, and names its file."""
    poster = stamp(JPEG, SHA)

    assert poster.startswith(b"\xff\xd8\xff")
    assert poster.endswith(JPEG[2:])
    assert shown_file(poster) == SHA


@pytest.mark.parametrize(
    "changed",
    [
        JPEG,
        b"",
        stamp(JPEG, SHA)[:-1],
        stamp(JPEG, SHA) + b"\0",
        stamp(JPEG, SHA).replace(SHA.encode(), SHA[::-1].encode()),
        stamp(stamp(JPEG, SHA)[:300], SHA[::-1])[:-5],
    ],
)
def test_what_was_changed_or_cut_off_is_no_poster(changed: bytes) -> None:
    """Another JPEG, or a poster that was cut off, edited or given to another file, shows no file."""
    assert shown_file(changed) is None
