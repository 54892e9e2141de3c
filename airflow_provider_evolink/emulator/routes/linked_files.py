# SPDX-License-Identifier: Apache-2.0
"""The files behind links in an upload by URL: fetched from this machine, made up for every other host."""

from __future__ import annotations

import mimetypes
from urllib.parse import urlsplit

import httpx

from airflow_provider_evolink.api.addresses import is_this_machine
from airflow_provider_evolink.emulator.media.artifacts import plan_artifacts
from airflow_provider_evolink.emulator.routes.context import RequestContext
from airflow_provider_evolink.emulator.routes.downloads import fetch_own_link

_SECONDS = 2
_TIMEOUT = 10.0


async def fetch(context: RequestContext, url: str) -> bytes | None:
    """Return the content behind a link; None if it is no http or https link, or cannot be downloaded.

    :param url: a link to this machine is downloaded; any other gives a picture, a video or a sound, according to its
        file name extension, since the emulator sends nothing beyond this machine.
    """
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        return None
    if not is_this_machine(parts.hostname):
        return await _synthetic(context, parts.path)
    own = await fetch_own_link(context, url)
    return await _download(url) if own is None else own or None


async def _download(url: str) -> bytes | None:
    try:
        async with httpx.AsyncClient(timeout=_TIMEOUT, trust_env=False) as client:
            response = await client.get(url)
        return response.raise_for_status().content
    except (httpx.HTTPError, httpx.InvalidURL):
        return None


async def _synthetic(context: RequestContext, path: str) -> bytes:
    family = (mimetypes.guess_type(path)[0] or "").partition("/")[0]
    kind = family if family in ("video", "audio") else "image"
    (artifact,) = plan_artifacts("", kind, {"prompt": path, "duration": _SECONDS}, None)
    return await context.renderer.render(artifact, f"upload.{artifact.extension}")
