# SPDX-License-Identifier: Apache-2.0
"""A real Airflow below a path shows each user what they may read, and nobody anything else."""

from __future__ import annotations

import hashlib

import pytest

from airflow_provider_evolink.links import addresses
from tests.ui_browser.showcase import ADMIN, GUEST, Ui

pytestmark = [pytest.mark.browser, pytest.mark.timeout(600)]
VIDEO = {"shop": ("videos", 0), "secret": ("video", -1)}
ROUTES = ("entries", "files", "posters", "video", "gallery")


def route_address(ui: Ui, dag_id: str, route: str) -> str:
    """Return the address of a route for a landed video of a DAG."""
    run_id, place = getattr(ui.runs, dag_id), VIDEO[dag_id]
    return {
        "entries": addresses.entries(dag_id, run_id),
        "files": addresses.file(dag_id, run_id, *place),
        "posters": addresses.poster(dag_id, run_id, *place),
        "video": addresses.video_page(dag_id, run_id, *place),
        "gallery": addresses.gallery_page(dag_id, run_id),
    }[route]


@pytest.mark.parametrize("route", ROUTES)
def test_every_route(ui: Ui, route: str) -> None:
    """Every route answers 401 without a login, 403 for a foreign DAG, and 200 for an own one."""
    with ui.client(None) as nobody, ui.client(GUEST) as guest, ui.client(ADMIN) as admin:
        own, foreign = route_address(ui, "shop", route), route_address(ui, "secret", route)
        assert [nobody.get(address).status_code for address in (own, foreign)] == [401, 401]
        assert [guest.get(address).status_code for address in (own, foreign)] == [200, 403]
        assert [admin.get(address).status_code for address in (own, foreign)] == [200, 200]


@pytest.mark.parametrize("name", ["gallery.js", "texts.js", "gallery.css"])
def test_static_files(ui: Ui, name: str) -> None:
    """Scripts and style are for everybody who has logged in."""
    with ui.client(None) as nobody, ui.client(GUEST) as guest:
        assert nobody.get(f"evolink/static/{name}").status_code == 401
        assert guest.get(f"evolink/static/{name}").status_code == 200


@pytest.mark.parametrize("dag_id", VIDEO)
def test_the_file_in_parts(ui: Ui, dag_id: str) -> None:
    """A file on disk and one in S3 arrive whole and in parts, through Airflow's own compression and access log."""
    with ui.client(ADMIN) as admin:
        address = route_address(ui, dag_id, "files")
        whole = admin.get(address)
        part = admin.get(address, headers={"Range": "bytes=1000-1999"})

    assert whole.headers["etag"] == f'"{hashlib.sha256(whole.content).hexdigest()}"'
    assert (part.status_code, part.content) == (206, whole.content[1000:2000])
    assert part.headers["content-range"] == f"bytes 1000-1999/{len(whole.content)}"
