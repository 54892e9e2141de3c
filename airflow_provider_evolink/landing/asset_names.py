# SPDX-License-Identifier: Apache-2.0
"""Name the assets of landed files by the user's pattern: by what they are, rather than by where they lie. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import Final, NamedTuple
from urllib.parse import quote

from airflow_provider_evolink.api.errors import LandingInputError
from airflow_provider_evolink.landing.checkpoint import MAX_ASSET_CHARACTERS
from airflow_provider_evolink.landing.filenames import PLACEHOLDER, Result, filled
from airflow_provider_evolink.landing.media_types import MediaType

PARAMETER: Final = "asset_name"
SCHEME: Final = "evolink://"
_ALLOWED = "the name of an asset, such as 'videos/{generation_id}/{index}'"
# Airflow passes two arguments of these names to a function that an @asset decorates.
_RESERVED = frozenset({"self", "context"})
_PRINTABLE_ASCII = "".join(map(chr, range(0x20, 0x7F)))


class AssetKey(NamedTuple):
    """What identifies an asset.

    :param name: what Airflow's pages show; in ASCII, which some of its databases need.
    :param uri: in the form that Airflow keeps unchanged, but for the slash that it adds to a name of one part.
    """

    name: str
    uri: str


def asset_key(pattern: str, result: Result, media_type: MediaType) -> AssetKey:
    """Name the asset of a file.

    :param pattern: has the fields of :func:`~airflow_provider_evolink.landing.filenames.render`.
    :raises LandingInputError: an unknown field.
    """
    return _key(filled(pattern, result, media_type, PARAMETER))


def check_asset_names(pattern: object, results: Iterable[Result]) -> None:
    """Refuse a pattern that makes no names for assets, or the same one for two results.

    Of two events for one asset, a consumer's run would get only the first.

    :raises LandingInputError: it does.
    """
    if not isinstance(pattern, str):
        raise LandingInputError(PARAMETER, pattern, _ALLOWED)
    names = Counter(filled(pattern, result, PLACEHOLDER, PARAMETER) for result in results)
    for name, count in names.items():
        requirement = _unmet_requirement(name)
        if requirement:
            raise LandingInputError(PARAMETER, pattern, f"{_ALLOWED}: {requirement}, but makes {name[:80]!r}")
        if count > 1:
            raise LandingInputError(PARAMETER, pattern, f"{_ALLOWED}, but several results would be named {name!r}")


def _key(name: str) -> AssetKey:
    return AssetKey(quote(name, safe=_PRINTABLE_ASCII), f"{SCHEME}{quote(name, safe='/')}")


def _unmet_requirement(name: str) -> str | None:
    if not name or name != name.strip(" /") or name in _RESERVED:
        return "not empty, without spaces and slashes at its ends, and neither 'self' nor 'context'"
    if not name.isprintable():
        return "without control characters"
    if len(_key(name).uri) > MAX_ASSET_CHARACTERS:
        return f"at most {MAX_ASSET_CHARACTERS} characters, percent-encoded"
    return None
