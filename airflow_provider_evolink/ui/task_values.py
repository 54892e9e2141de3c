# SPDX-License-Identifier: Apache-2.0
"""Read from Airflow's database what the tasks of a run have returned. Everything here blocks.

Each function opens a session and closes it, so that none is held while a file is sent.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from airflow_provider_evolink.compat import map_index_of, same_task_instance, task_state_store_model
from airflow_provider_evolink.execution.try_notes import ERROR_KEY, PROGRESS_KEY
from airflow_provider_evolink.submission.entries import intent_at
from airflow_provider_evolink.submission.record import STORE_KEY
from airflow_provider_evolink.ui.entries import Facts, TaskValues, facts_of

RETURN_KEY, GENERATION_ID_KEY, MANIFEST_KEY = "return_value", "generation_id", "manifest_link"
_KEYS = (RETURN_KEY, GENERATION_ID_KEY, MANIFEST_KEY, ERROR_KEY, PROGRESS_KEY)
_CHUNK = 100

_Place = tuple[str, int]


@dataclass(frozen=True, slots=True)
class Selection:
    """The task instances of a run to look at.

    :param task_id: None = all tasks.
    :param map_index: None = all instances of the task.
    """

    dag_id: str
    run_id: str
    task_id: str | None = None
    map_index: int | None = None


def is_dag(dag_id: str) -> bool:
    """Return whether there is a DAG with exactly this id; some databases compare without regard to case."""
    from airflow.models.dag import DagModel
    from sqlalchemy import select

    return dag_id in _read(
        lambda session: session.scalars(select(DagModel.dag_id).where(DagModel.dag_id == dag_id)).all()
    )


def task_values(selection: Selection) -> Iterator[TaskValues]:
    """Yield what is stored about each task instance, in the order of task ids and map indexes."""
    after: _Place | None = None
    while chunk := _read(lambda session, after=after: _chunk(session, selection, after)):  # type: ignore[misc]
        yield from chunk
        after = chunk[-1].task_id, chunk[-1].map_index


def generation_facts(selection: Selection, generation_ids: Collection[str]) -> dict[str, Facts]:
    """Return what the tasks of a run know about generations, by their ids.

    The task that lands a file is often another than the one that has paid for it.

    :param selection: whose run is looked at, as a whole.
    """
    return _read(lambda session: _generation_facts(session, selection, set(generation_ids))) if generation_ids else {}


def _read(query: Callable[[Any], Any]) -> Any:
    from airflow.utils.session import create_session

    with create_session(scoped=False) as session:
        return query(session)


def _chunk(session: Any, selection: Selection, after: _Place | None) -> list[TaskValues]:
    from airflow.models.taskinstance import TaskInstance as Model
    from sqlalchemy import select, tuple_

    index = map_index_of(Model)
    query = select(Model.task_id, index, Model.state, Model.operator, Model.custom_operator_name, Model.try_number)
    query = query.where(*_conditions(Model, index, selection)).order_by(Model.task_id, index).limit(_CHUNK)
    if after is not None:
        query = query.where(tuple_(Model.task_id, index) > tuple_(*after))
    rows = session.execute(query).all()
    values = _xcoms(session, selection, [(row[0], row[1]) for row in rows], _KEYS)
    return [_task_values(row, values) for row in rows]


def _task_values(row: Any, values: Mapping[tuple[_Place, str], Any]) -> TaskValues:
    task_id, map_index, state, operator, name, try_number = row
    place = task_id, map_index
    return TaskValues(
        task_id=task_id,
        map_index=map_index,
        state=None if state is None else str(state),
        is_ours=str(operator).startswith("EvoLink") or name == "@task.evolink",
        returned=values.get((place, RETURN_KEY)),
        generation_id=values.get((place, GENERATION_ID_KEY)),
        manifest=values.get((place, MANIFEST_KEY)),
        try_number=try_number,
        progress=values.get((place, PROGRESS_KEY)),
        failure=values.get((place, ERROR_KEY)),
    )


def _xcoms(
    session: Any, selection: Selection, places: Collection[_Place], keys: Collection[str]
) -> dict[tuple[_Place, str], Any]:
    from airflow.models.xcom import XComModel as Model
    from sqlalchemy import select, tuple_

    query = select(Model.task_id, Model.map_index, Model.key, Model.value).where(
        Model.dag_id == selection.dag_id,
        Model.run_id == selection.run_id,
        Model.key.in_(keys),
        tuple_(Model.task_id, Model.map_index).in_(places),
    )
    rows = session.execute(query) if places else ()
    return {((task_id, map_index), key): _value(value) for task_id, map_index, key, value in rows}


def _generation_facts(session: Any, selection: Selection, wanted: set[str]) -> dict[str, Facts]:
    run = Selection(selection.dag_id, selection.run_id)
    ids = {place: value for place, value in _generation_ids(session, run) if value in wanted}
    facts: dict[str, Facts] = {}
    places = list(ids)
    for start in range(0, len(places), _CHUNK):
        part = places[start : start + _CHUNK]
        found = _xcoms(session, run, part, (RETURN_KEY,))
        # A value that the XCom backend keeps elsewhere is a path.
        returned = {place: record for place, record in found.items() if isinstance(record, Mapping)}
        rendered = _rendered_fields(session, run, part)
        stored = _ledger_entries(session, run, [place for place in part if (place, RETURN_KEY) not in returned])
        for place in part:
            record = returned.get((place, RETURN_KEY))
            facts[ids[place]] = facts_of(record, rendered.get(place), stored.get(place))
    return facts


def _generation_ids(session: Any, run: Selection) -> Iterator[tuple[_Place, str]]:
    from airflow.models.xcom import XComModel as Model
    from sqlalchemy import select

    query = select(Model.task_id, Model.map_index, Model.value).where(
        Model.dag_id == run.dag_id, Model.run_id == run.run_id, Model.key == GENERATION_ID_KEY
    )
    for task_id, map_index, value in session.execute(query):
        if isinstance(generation_id := _value(value), str):
            yield (task_id, map_index), generation_id


def _rendered_fields(session: Any, run: Selection, places: Collection[_Place]) -> dict[_Place, Any]:
    from airflow.models.renderedtifields import RenderedTaskInstanceFields as Rendered
    from airflow.models.taskinstance import TaskInstance as Model
    from sqlalchemy import select, tuple_

    index = map_index_of(Model)
    query = (
        select(Model.task_id, index, Rendered.rendered_fields)
        .join(Rendered, same_task_instance(Rendered, Model))
        .where(*_conditions(Model, index, run), tuple_(Model.task_id, index).in_(places))
    )
    return {(task_id, map_index): _value(fields) for task_id, map_index, fields in session.execute(query)}


def _ledger_entries(session: Any, run: Selection, places: Collection[_Place]) -> dict[_Place, Any]:
    """Return the newest entry of the ledger of each task instance that has generated once."""
    from sqlalchemy import or_, select, tuple_

    Model = task_state_store_model()  # noqa: N806 - a class
    if Model is None:
        return {}
    index = map_index_of(Model)
    is_entry = or_(Model.key == STORE_KEY, Model.key.startswith(f"{STORE_KEY}.", autoescape=True))
    query = select(Model.task_id, index, Model.value).where(
        *_conditions(Model, index, run), tuple_(Model.task_id, index).in_(places), is_entry
    )
    newest: dict[_Place, Any] = {}
    for task_id, map_index, text in session.execute(query) if places else ():
        entry, place = _value(text), (task_id, map_index)
        if isinstance(entry, Mapping) and "phase" in entry:
            newest[place] = max(newest.get(place, entry), entry, key=intent_at)
    return newest


def _conditions(model: Any, index: Any, selection: Selection) -> list[Any]:
    conditions = [model.dag_id == selection.dag_id, model.run_id == selection.run_id]
    if selection.task_id is not None:
        conditions.append(model.task_id == selection.task_id)
    if selection.map_index is not None:
        conditions.append(index == selection.map_index)
    return conditions


def _value(stored: Any) -> Any:
    """Return a stored value as plain JSON; values that Airflow's own models have written are encoded twice.

    Airflow's decoder is not used: it makes objects of the classes that a value names.
    """
    if isinstance(stored, str):
        with suppress(ValueError, RecursionError):
            return json.loads(stored)
    return stored
