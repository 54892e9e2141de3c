# SPDX-License-Identifier: Apache-2.0
"""The app that shows landed files in Airflow's UI, mounted at ``/evolink``.

A route names an entry of what a task has returned, by its number, and never a path. Only the api-server imports this
module: it imports FastAPI.
"""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Annotated

import anyio
from fastapi import APIRouter, FastAPI, HTTPException, Query, Request, status
from fastapi import Path as PathParameter
from starlette.responses import JSONResponse, Response

from airflow_provider_evolink.posters import stamp
from airflow_provider_evolink.ui.access import LOGGED_IN, READS_RESULTS, MayReadTasks
from airflow_provider_evolink.ui.entries import Entry
from airflow_provider_evolink.ui.gallery import Gallery, Page, file_location, poster_location
from airflow_provider_evolink.ui.responses import COMMON_HEADERS, Content, InThread, content_response, page_response
from airflow_provider_evolink.ui.roots import NotShownError, configured_roots
from airflow_provider_evolink.ui.stored_files import StorageError, StoredFile
from airflow_provider_evolink.ui.task_values import Selection

PAGES = Path(__file__).parent / "pages"
_STATIC_TYPES = {".css": "text/css", ".js": "text/javascript"}
# A storage that doesn't answer takes no more than these; Airflow's own requests have forty others.
_THREADS = 8
_MAX_INTEGER = 2**31 - 1  # of Airflow's database

RunId = Annotated[str, Query(min_length=1, max_length=250, pattern=r"^[^\x00]+$")]
TaskId = Annotated[str, Query(min_length=1, max_length=250, pattern=r"^[^\x00]+$")]
MapIndex = Annotated[int, Query(ge=-1, le=_MAX_INTEGER)]
Number = Annotated[int, PathParameter(ge=0, le=_MAX_INTEGER)]


def create_app() -> FastAPI:
    """Return the app. It serves whatever ``[evolink] gallery_roots`` allows at the time of each request."""
    app = FastAPI(title="EvoLink", openapi_url=None, docs_url=None, redoc_url=None, redirect_slashes=False)
    in_thread = functools.partial(anyio.to_thread.run_sync, limiter=anyio.CapacityLimiter(_THREADS))
    app.include_router(_results(Gallery(), in_thread))
    app.include_router(_pages())
    app.add_exception_handler(NotShownError, _not_found)
    app.add_exception_handler(StorageError, _bad_gateway)
    return app


def _results(gallery: Gallery, in_thread: InThread) -> APIRouter:
    router = APIRouter(prefix="/dags/{dag_id}", dependencies=READS_RESULTS)

    @router.get("/entries")
    async def entries(
        dag_id: str,
        run_id: RunId,
        with_tasks: MayReadTasks,
        task_id: TaskId | None = None,
        map_index: MapIndex | None = None,
        offset: Annotated[int, Query(ge=0, le=_MAX_INTEGER)] = 0,
        limit: Annotated[int, Query(ge=1, le=200)] = 60,
    ) -> JSONResponse:
        selection = Selection(dag_id, run_id, task_id, map_index)
        read = functools.partial(gallery.page, selection, offset=offset, limit=limit, with_tasks=with_tasks)
        page: Page = await in_thread(read)
        return JSONResponse(page, headers=COMMON_HEADERS)

    @router.api_route("/files/{number}", methods=["GET", "HEAD"])
    async def file(
        request: Request, dag_id: str, number: Number, run_id: RunId, task_id: TaskId, map_index: MapIndex = -1
    ) -> Response:
        find = functools.partial(_file, gallery, Selection(dag_id, run_id, task_id, map_index), number)
        return await content_response(request, await in_thread(find), in_thread)

    @router.api_route("/posters/{number}", methods=["GET", "HEAD"])
    async def poster(
        request: Request, dag_id: str, number: Number, run_id: RunId, task_id: TaskId, map_index: MapIndex = -1
    ) -> Response:
        find = functools.partial(_poster, gallery, Selection(dag_id, run_id, task_id, map_index), number)
        return await content_response(request, await in_thread(find), in_thread)

    return router


def _pages() -> APIRouter:
    router = APIRouter()

    @router.get("/dags/{dag_id}/video", dependencies=READS_RESULTS)
    def video() -> Response:
        return page_response(PAGES / "video.html", "text/html")

    @router.get("/dags/{dag_id}/gallery", dependencies=READS_RESULTS)
    def gallery() -> Response:
        return page_response(PAGES / "gallery.html", "text/html")

    @router.get("/static/{name}", dependencies=LOGGED_IN)
    def static(name: str) -> Response:
        files = {path.name: path for path in PAGES.iterdir() if path.suffix in _STATIC_TYPES}
        if name not in files:
            raise HTTPException(status.HTTP_404_NOT_FOUND, "There is no such file.")
        return page_response(files[name], _STATIC_TYPES[files[name].suffix])

    return router


def _file(gallery: Gallery, selection: Selection, number: int) -> Content:
    entry = gallery.entry(selection, number)
    file = gallery.file(file_location(entry, configured_roots()))
    return Content(file, entry.content_type or "", _etag(entry, file), entry.name or "file")


def _poster(gallery: Gallery, selection: Selection, number: int) -> Content:
    entry = gallery.entry(selection, number)
    file = gallery.file(poster_location(entry, configured_roots()))
    return Content(file, stamp.CONTENT_TYPE, f'"{file.version}"', f"{entry.name or 'file'}{stamp.SUFFIX}")


def _etag(entry: Entry, file: StoredFile) -> str:
    """Return the hash of the content, unless the file has another size than the one that landed."""
    is_same = entry.sha256 is not None and entry.bytes in (None, file.size)
    return f'"{entry.sha256}"' if is_same else f'"{file.version}"'


async def _not_found(_: Request, error: Exception) -> Response:
    return JSONResponse({"detail": str(error)}, status_code=404, headers=COMMON_HEADERS)


async def _bad_gateway(_: Request, error: Exception) -> Response:
    return JSONResponse({"detail": str(error)}, status_code=502, headers=COMMON_HEADERS)
