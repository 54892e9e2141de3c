# SPDX-License-Identifier: Apache-2.0
"""Download from the media host of the tests into memory."""

from __future__ import annotations

import hashlib
import io

from airflow_provider_evolink.landing.download import Download, download
from airflow_provider_evolink.landing.download_budget import LIMITS, Limits
from airflow_provider_evolink.landing.safe_http import Network
from tests.landing.media_server import mp4

LOOPBACK = Network(allow_loopback=True, connect_timeout=2, read_timeout=1)
BODY = mp4(300_000)
SIZE_AND_HASH = (len(BODY), hashlib.sha256(BODY).hexdigest())


def fetch(link: str, limits: Limits = LIMITS, delays: list[float] | None = None) -> tuple[Download, bytes]:
    """Download into memory, and record the delays between attempts instead of waiting."""
    staging_file = io.BytesIO()
    done = download(link, staging_file, LOOPBACK, limits, sleep=(delays if delays is not None else []).append)
    return done, staging_file.getvalue()
