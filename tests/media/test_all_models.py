# SPDX-License-Identifier: Apache-2.0
"""Every documented model takes local media where it takes media, and nothing beyond its documented limits."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.api.documented_models import each_model, minimal_request
from tests.media.examples import WITH_MEDIA, breaches, dotted, legal, media_of, with_media
from tests.media.requests import LINK, prepare, refused


@each_model
def test_an_example_passes(name: str) -> None:
    """The smallest request of every model needs no upload."""
    request = prepare(name, minimal_request(name))
    assert (request.model, request.pending_media) == (name, ())


@pytest.mark.parametrize("name", WITH_MEDIA)
def test_local_media_pass(name: str, tmp_path: Path) -> None:
    """A local file of every documented format passes for every media parameter: as data, or to be uploaded."""
    for path, rule in media_of(name):
        for number, data in enumerate(legal(rule)):
            file = tmp_path / f"{path}.{number}"
            file.write_bytes(data)
            request = prepare(name, with_media(name, path, rule, str(file)))
            body = request.body.decode()
            if rule.takes_data:
                assert "data:image/" in body
            else:
                [pending] = request.pending_media
                assert dotted(pending.parameter) == path.replace("*", "x")
                assert pending.placeholder in body
            assert "*" not in request.with_links({pending.identity: LINK for pending in request.pending_media}).decode()


@pytest.mark.parametrize("name", WITH_MEDIA)
def test_media_beyond_the_limits_are_refused(name: str, tmp_path: Path) -> None:
    """A file of another kind or format, or that is too large, small, wide, narrow, long or short, is refused."""
    for path, rule in media_of(name):
        for number, (breach, data, size) in enumerate(breaches(rule)):
            file = tmp_path / f"{path}.{number}"
            file.write_bytes(data)
            with file.open("r+b") as content:
                content.truncate(max(size, len(data)))
            error = refused(name, with_media(name, path, rule, str(file)))
            assert dotted(error.parameter) == path.replace("*", "x"), breach
            assert "must be" in str(error), breach
            assert breach in error.allowed, (breach, error.allowed)


@pytest.mark.parametrize("name", WITH_MEDIA)
def test_lists_beyond_the_limits_are_refused(name: str, tmp_path: Path) -> None:
    """Too many files for one parameter, or too many seconds of them, are refused by the name of the parameter."""
    for path, rule in media_of(name):
        if not rule.is_list:
            continue
        if rule.max_count is not None:
            error = refused(name, with_media(name, path, rule, [LINK] * (rule.max_count + 1)))
            assert error.parameter == path
        if rule.total_seconds is not None:
            low, high = rule.seconds or (1, 10)
            long = tmp_path / f"{path}.long"
            long.write_bytes(next(legal(rule, seconds=float(high or low or 1))))
            error = refused(name, with_media(name, path, rule, [str(long)] * 2))
            assert error.parameter == path
            assert f"at most {rule.total_seconds} s together" in error.allowed
