# SPDX-License-Identifier: Apache-2.0
"""A real Airflow below a path, with two users, and what its runs have landed on disk and in S3."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx

from airflow_provider_evolink.emulator.server import EmulatorHandle, running
from airflow_provider_evolink.emulator.settings import Settings
from demo.products import write_products
from testkit.airflow_stack import AirflowStack
from testkit.s3 import S3
from testkit.webhook import WebhookReceiver
from tests.ui import auth_manager
from tests.ui.auth_manager import ADMIN, GUEST, OneDagAuthManager

HERE = Path(__file__).parent
EXAMPLES = HERE.parents[1] / "dags"
BASE_PATH = "/airflow"
PASSWORD = "password-of-a-test"
VIDEOS = 12
FAILING = 4  # of the submissions, from 0


@dataclass(frozen=True)
class Runs:
    """Runs of DAGs that are there to be looked at.

    :param shop: of twelve mapped tasks, one of which has failed, in S3.
    :param secret: of a task that only the administrator may see, on disk.
    :param review: of a task that awaits its approval, on disk.
    :param troubled: of tasks that have failed, wait for their next try, or are under way.
    """

    shop: str
    secret: str
    review: str
    troubled: str


@dataclass(frozen=True)
class Ui:
    """A running Airflow with two users and three runs.

    :param stack: with the administrator's client.
    """

    stack: AirflowStack
    runs: Runs

    def client(self, user: str | None) -> httpx.Client:
        """Return a client that has logged in as a user; None for one that hasn't."""
        headers = {} if user is None else {"Authorization": f"Bearer {self._token(user)}"}
        return httpx.Client(base_url=self.stack.url, headers=headers, timeout=60, trust_env=False)

    def _token(self, user: str) -> str:
        body = {"username": user, "password": PASSWORD}
        response = httpx.post(f"{self.stack.url}/auth/token", json=body, timeout=60, trust_env=False)
        return str(response.raise_for_status().json()["access_token"])


@contextmanager
def running_ui(folder: Path, s3: S3) -> Iterator[Ui]:
    """Run the Airflow as long as the context lasts, which begins once its runs are there.

    :param folder: for all of its files.
    """
    with WebhookReceiver() as webhook, running(Settings(clock=20.0, credits=10_000, seed=5)) as evolink:
        env = _settings(folder, s3) | {
            "AIRFLOW_CONN_EVOLINK_DEFAULT": evolink.airflow_connection,
            "AIRFLOW_CONN_PUBLISH_WEBHOOK": webhook.connection,
        }
        login = (ADMIN, PASSWORD)
        with AirflowStack(folder / "airflow", _dags(folder), env, path=BASE_PATH, login=login) as stack:
            evolink.control.inject("generation_failed", on="submit", after=FAILING)
            yield Ui(stack, _run_all(stack, folder / "landed", evolink))


def _dags(folder: Path) -> Path:
    dags = folder / "dags"
    shutil.copytree(HERE / "dags", dags)
    shutil.copytree(EXAMPLES / "pictures", dags / "pictures")
    shutil.copy(EXAMPLES / "evolink_content_review.py", dags)
    return dags


def _settings(folder: Path, s3: S3) -> dict[str, str]:
    passwords = folder / "passwords.json"
    passwords.write_text(json.dumps({ADMIN: PASSWORD, GUEST: PASSWORD}))
    landed = (folder / "landed").as_uri()
    return {
        "PYTHONPATH": str(Path(auth_manager.__file__).parent),
        "PRODUCTS": str(write_products(folder / "products", VIDEOS).table),
        "LANDED": landed,
        # This server sends the checksum of the whole object with each of its parts.
        "AIRFLOW_CONN_VIDEOS_S3": s3.connection_with(config_kwargs={"response_checksum_validation": "when_required"}),
        "AIRFLOW__CORE__AUTH_MANAGER": f"auth_manager.{OneDagAuthManager.__name__}",
        "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_ALL_ADMINS": "False",
        "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_USERS": f"{ADMIN}:admin,{GUEST}:viewer",
        "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_PASSWORDS_FILE": str(passwords),
        "AIRFLOW__EVOLINK__GALLERY_ROOTS": f"s3://videos_s3@videos/shop, {landed}",
        "AIRFLOW__EVOLINK__POLL_INTERVAL": "1",
    }


def _run_all(stack: AirflowStack, landed: Path, evolink: EmulatorHandle) -> Runs:
    review = "evolink_content_review"
    for dag_id in ("shop", "secret", "troubled", review):
        stack.wait_for_dag(dag_id)
        stack.api.unpause(dag_id)
    shop = stack.api.trigger("shop")
    assert stack.wait_for_run("shop", shop) == "failed"  # one of its videos
    secret, reviewed = stack.api.trigger("secret"), stack.api.trigger(review, {"destination": landed.as_uri()})
    assert stack.wait_for_run("secret", secret) == "success"
    stack.wait_until("the approval", lambda: _awaits_approval(stack, review, reviewed), timeout=120)
    evolink.control.inject("generation_stalled", on="submit", after=2)  # the last row of the batch
    troubled = stack.api.trigger("troubled")
    stack.wait_until("two rows of three", lambda: _is_under_way(stack, troubled), timeout=180)
    return Runs(shop, secret, reviewed, troubled)


def _is_under_way(stack: AirflowStack, run_id: str) -> bool:
    """Return whether all tasks are where they stay, the batch with two rows landed."""
    states = stack.api.task_states("troubled", run_id)
    expected = {"too_long": "failed", "no_connection": "failed", "no_storage": "up_for_retry"}
    if any(states[task_id] != state for task_id, state in expected.items()):
        return False
    progress = stack.api.xcom("troubled", run_id, "three_videos", "evolink_progress")
    return progress is not None and "2 of 3 rows" in progress["text"]


def _awaits_approval(stack: AirflowStack, dag_id: str, run_id: str) -> bool:
    return stack.api.task_states(dag_id, run_id)["approve"] == "awaiting_input"
