# SPDX-License-Identifier: Apache-2.0
"""A DAG that uses every public class as its authors do; it passes ``mypy --strict``, and it is a DAG."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, assert_type

from airflow.sdk import DAG, Asset, AssetAlias, ObjectStoragePath, XComArg, task

from airflow_provider_evolink.api.errors import EvoLinkError, InsufficientCreditsError
from airflow_provider_evolink.api.files import FileQuota, StoredFile, UploadedFile
from airflow_provider_evolink.api.generation import Credits, Generation, Submission, Usage
from airflow_provider_evolink.api.request import GenerationRequest
from airflow_provider_evolink.batch.errors import BatchFailedError
from airflow_provider_evolink.decorators.evolink import evolink_task
from airflow_provider_evolink.exceptions import EvoLinkFailException
from airflow_provider_evolink.hooks.evolink import EvoLinkHook
from airflow_provider_evolink.links.evolink import EvoLinkManifestLink, EvoLinkResultLink, EvoLinkWatchLink
from airflow_provider_evolink.operators.batch import EvoLinkBatchOperator
from airflow_provider_evolink.operators.evolink import EvoLinkGenerateOperator, EvoLinkImageToVideoOperator
from airflow_provider_evolink.operators.recover import EvoLinkRecoverOperator
from airflow_provider_evolink.operators.upload import EvoLinkUploadOperator
from airflow_provider_evolink.recovery.errors import RecoveryFailedError
from airflow_provider_evolink.retry import EvoLinkRetryPolicy, evolink_retry_policy
from airflow_provider_evolink.sensors.evolink import EvoLinkGenerationSensor
from airflow_provider_evolink.transfers.evolink_to_object_storage import EvoLinkToObjectStorageOperator
from airflow_provider_evolink.triggers.batch import EvoLinkBatchTrigger
from airflow_provider_evolink.triggers.evolink import EvoLinkGenerationTrigger
from airflow_provider_evolink.triggers.sensor import EvoLinkSensorTrigger
from airflow_provider_evolink.types import (
    BatchSummary,
    GenerationRecord,
    LandedFile,
    ManifestLine,
    RecoveryFailure,
    RecoverySummary,
    RowError,
    UploadRecord,
)
from airflow_provider_evolink.types import Usage as RecordUsage

PICTURES = ObjectStoragePath("file:///pictures")
RETRY_POLICY = evolink_retry_policy(first_delay=timedelta(minutes=1), longest_delay=600.0)
assert_type(RETRY_POLICY, EvoLinkRetryPolicy)


@task
def write_prompts() -> list[str]:
    """Return text that is only known when the DAG runs."""
    return ["A lighthouse", "A harbor"]


@task
def choose(prompts: list[str]) -> dict[str, Any]:
    """Return parameters that are only known when the DAG runs."""
    return {"prompt": prompts[0], "n": 2}


@task
def rows() -> list[dict[str, Any]]:
    """Return the rows of a table."""
    return [{"sku": "A1", "prompt": "A lighthouse"}, {"sku": "A2", "prompt": "A harbor", "duration": 5}]


@task
def tables() -> list[str]:
    """Return where the parts of a large table are."""
    return ["s3://my_conn@bucket/1.jsonl", "s3://my_conn@bucket/2.jsonl"]


@task
def use_the_hook() -> str:
    """Use the hook in a custom task."""
    hook = EvoLinkHook("evolink_default")
    works, message = hook.test_connection()
    assert_type(works, bool)
    assert_type(message, str)
    credits_left = hook.get_credits()
    listed = hook.list_generations(since=datetime(2026, 1, 1, tzinfo=UTC), status="failed", model="my-model", limit=10)
    assert_type(listed, list[Generation])
    assert_type(hook.count_generations(status="processing"), int)
    assert_type(credits_left, Credits)
    assert_type(credits_left.account_remaining, float | None)
    prepared = hook.prepare("gpt-image-2", {"prompt": "A lighthouse"}, media_type="image")
    assert_type(prepared, GenerationRequest)
    try:
        submission = hook.submit(prepared, "my-own-key-0123456789")
    except InsufficientCreditsError as error:
        return f"{error.code}: {error.detail} {error.retry_after} {error.request_id} {error.permanent}"
    except EvoLinkError as error:
        raise EvoLinkFailException(error) from error
    assert_type(submission, Submission)
    assert_type(submission.generation.usage, Usage)
    assert_type(hook.get_generation(submission.generation.id), Generation)
    assert_type(hook.get_generations([submission.generation.id]), dict[str, Generation])
    uploaded = hook.upload("/pictures/a.png")
    assert_type(uploaded, UploadedFile)
    assert_type((uploaded.link, uploaded.expires_at), tuple[str, datetime])
    assert_type(hook.upload(b"...", content_type="image/png").sha256, str | None)
    assert_type(hook.list_files(), list[StoredFile])
    assert_type(hook.delete_file("file_abc123"), bool)
    assert_type(hook.quota(), FileQuota)
    assert_type(hook.media_links(prepared), dict[str, str])
    return submission.generation.id


@task
def one_after_the_other() -> list[LandedFile]:
    """Generate in Python: a picture, then a video of it."""
    hook = EvoLinkHook()
    picture = hook.generate("gpt-image-2", {"prompt": "A lighthouse"}, key="picture")
    assert_type(picture, GenerationRecord)
    video = hook.generate(
        "gemini-omni-flash-image-to-video",
        {"prompt": "The lamp turns", "image_urls": picture["results"]},
        key="video",
        timeout=timedelta(minutes=20),
        poll_interval=5,
        on_clear="resubmit",
        on_changed_input="resubmit",
    )
    assert_type(hook.wait(video["generation_id"], timeout=60.0), GenerationRecord)
    folder = "s3://my_conn@bucket/{{ ds }}"
    landed = hook.land(video, folder, "{index}.{ext}", on_existing="replace", asset_name="videos/{index}")
    assert_type(landed, list[LandedFile])
    assert_type(landed[0]["bytes"], int)
    return landed


@task
async def at_the_same_time() -> list[str]:
    """Generate in Python, several at a time."""
    hook = EvoLinkHook()
    videos = await asyncio.gather(
        *(
            hook.generate_async("gemini-omni-flash-text-to-video", {"prompt": prompt}, key=prompt)
            for prompt in ("lighthouse", "harbor")
        )
    )
    assert_type(videos, list[GenerationRecord])
    assert_type(await hook.wait_async(videos[0]), GenerationRecord)
    assert_type(await hook.land_async(videos[0], PICTURES / "out"), list[LandedFile])
    return [video["generation_id"] for video in videos]


@task.evolink(model="gemini-omni-flash-text-to-video", destination="/videos", retries=2)
def decorated(subject: str) -> dict[str, Any]:
    """Return the parameters; the task returns the record."""
    return {"prompt": f"{subject} at dawn", "duration": 5}


@evolink_task(
    model="gemini-omni-flash-text-to-video",
    destination=PICTURES / "out",
    filename_pattern="{index}.{ext}",
    on_existing="replace",
    asset_name="{{ ds }}/{index}",
    evolink_conn_id="evolink_default",
    deferrable=False,
    timeout=timedelta(minutes=20),
    on_changed_input="resubmit",
    retries=2,
)
async def decorated_and_typed(subject: str) -> dict[str, Any]:
    """Do the same with arguments that mypy checks."""
    return {"prompt": subject}


@task
def link_of(upload: UploadRecord) -> str:
    """Read what an upload task returned."""
    assert_type(upload["sha256"], str | None)
    return upload["link"]


def report(record: GenerationRecord, line: ManifestLine) -> float:
    """Read what tasks return and write."""
    usage: RecordUsage = record["usage"]
    error: RowError | None = line["error"]
    assert_type(error["code"] if error else None, str | None)
    files: list[LandedFile] = record.get("landed", [])
    return (usage["credits_used"] or 0.0) + (line["credits"] or 0.0) + len(files)


with DAG("dag_author", schedule=None, start_date=datetime(2026, 11, 1), catchup=False) as dag:  # noqa: DTZ001 - as in a DAG
    prompts = write_prompts()

    templated = EvoLinkImageToVideoOperator(
        task_id="templated",
        prompt="{{ params.prompt }}",
        image="{{ params.image }}",
        duration="auto",
        aspect_ratio="{{ params.aspect_ratio }}",
        model="{{ params.model }}",
        callback_url="https://example.com/{{ run_id }}",
        evolink_conn_id="evolink_default",
        deferrable=True,
        wait_for_completion=True,
        timeout=timedelta(minutes=20),
        poll_interval=None,
        on_unknown_submission="replay",
        on_clear="reuse",
        on_changed_input="fail",
        retries=2,
        retry_policy=RETRY_POLICY,
        execution_timeout=timedelta(hours=1),
    )
    landing = EvoLinkImageToVideoOperator(
        task_id="landing",
        prompt="The leaves sway",
        image=PICTURES / "leaf.png",
        destination="s3://my_conn@bucket/{{ ds }}",
        filename_pattern="{{ params.sku }}/{index}.{ext}",
        on_existing="replace",
        asset_name="videos/{generation_id}",
    )
    landing_of_any_model = EvoLinkGenerateOperator(
        task_id="landing_of_any_model",
        model="gpt-image-2",
        parameters={"prompt": "A lighthouse"},
        destination=PICTURES / "out",
    )
    of_two_pictures = EvoLinkImageToVideoOperator(
        task_id="of_two_pictures",
        model="kling-v3-image-to-video",
        prompt="The leaves sway",
        image=landing_of_any_model.output,
        last_image=Path("/pictures/leaf.png"),
        upload="always",
    )
    from_storage = EvoLinkImageToVideoOperator(
        task_id="from_storage", prompt="The leaves sway", image=PICTURES / "leaf.png", duration=5, timeout=900.0
    )
    of_upstream = EvoLinkGenerateOperator(
        task_id="of_upstream",
        model="gpt-image-2",
        parameters=choose(prompts),  # type: ignore[arg-type]  # Airflow declares what a @task returns, not its XComArg
        wait_for_completion=False,
    )
    mapped = EvoLinkImageToVideoOperator.partial(
        task_id="mapped", image="https://example.com/portrait.jpg", duration=3
    ).expand(prompt=prompts)
    of_the_future = EvoLinkGenerateOperator(
        task_id="of_the_future", model="future-dream-9", media_type="video", parameters={"prompt": "{{ ds }}"}
    )

    assert_type(of_upstream.output, XComArg)
    collect = EvoLinkGenerationSensor(
        task_id="collect", generation_id=of_upstream.output, timeout=600, mode="reschedule", soft_fail=True
    )
    collect_by_id = EvoLinkGenerationSensor(task_id="collect_by_id", generation_id="task-unified-1", deferrable=False)
    EvoLinkGenerationSensor(task_id="collect_cheaply", generation_id="task-unified-1", end_in_triggerer=True)

    EvoLinkToObjectStorageOperator(
        task_id="land_one", generation=collect.output, destination="s3://my_conn@bucket/{{ ds }}"
    )
    EvoLinkToObjectStorageOperator(
        task_id="land_all",
        generation=mapped.output,
        destination=PICTURES / "out",
        filename_pattern="{model}/{generation_id}-{index:02d}.{ext}",
    )
    EvoLinkToObjectStorageOperator.partial(task_id="land_each", destination="/videos").expand(generation=mapped.output)

    upload = EvoLinkUploadOperator(
        task_id="upload", source=PICTURES / "leaf.png", evolink_conn_id="evolink_default", retries=3
    )
    assert_type(upload.output, XComArg)
    EvoLinkUploadOperator(task_id="upload_all", source=["/pictures/a.png", PICTURES / "leaf.png"])
    EvoLinkUploadOperator.partial(task_id="upload_each").expand(source=prompts)

    of_a_file = EvoLinkBatchOperator(
        task_id="of_a_file",
        model="{{ params.model }}",
        requests=PICTURES / "products.csv",
        key="sku",
        destination="s3://my_conn@bucket/{{ ds }}",
        filename_pattern="{collection}/{key}-{index:02d}.{ext}",
        parameters={"duration": 5, "aspect_ratio": "9:16"},
        manifest="manifest.jsonl",
        max_in_flight="{{ params.max_in_flight }}",
        max_credits=5000,
        max_failed=0.05,
        on_row_failure="stop",
        on_invalid="skip",
        skip_existing=False,
        on_existing="replace",
        media_type="video",
        evolink_conn_id="evolink_default",
        deferrable=True,
        timeout=timedelta(minutes=20),
        poll_interval=None,
        on_unknown_submission="replay",
        on_clear="reuse",
        on_changed_input="fail",
        retries=2,
        retry_policy=RETRY_POLICY,
        asset_name="videos/{key}/{index}",
        outlets=[Asset("s3://bucket/videos"), AssetAlias("videos")],
    )
    assert_type(of_a_file.output, XComArg)
    EvoLinkBatchOperator(
        task_id="of_rows",
        model="gemini-omni-flash-text-to-video",
        requests=rows(),
        key="sku",
        destination=PICTURES / "out",
        max_failed=3,
    )
    EvoLinkBatchOperator(
        task_id="of_a_list",
        requests=[{"id": 1, "model": "gpt-image-2", "prompt": "A lighthouse"}],
        key="id",
        destination="/images",
        timeout=900.0,
    )
    EvoLinkBatchOperator.partial(
        task_id="of_each_table", model="gemini-omni-flash-text-to-video", key="sku", destination="/videos"
    ).expand(requests=tables())

    decorated("A lighthouse")
    decorated.override(task_id="decorated_otherwise", pool="evolink").expand(subject=prompts)
    assert_type(decorated_and_typed("{{ ds }}"), XComArg)
    one_after_the_other() >> at_the_same_time()

    templated >> from_storage >> use_the_hook()


class MyRecord(GenerationRecord):
    """A record with another field."""

    mine: bool


class MyOperator(EvoLinkGenerateOperator):
    """A custom operator with another link beside the provider's."""

    operator_extra_links = (EvoLinkResultLink(), EvoLinkWatchLink())

    def execute(self, context: Any) -> MyRecord:
        """Change the record."""
        return {**super().execute(context), "mine": True}


class MyBatch(EvoLinkBatchOperator):
    """A custom operator that reports where the manifest of a failed batch is."""

    operator_extra_links = (EvoLinkManifestLink(),)

    def execute(self, context: Any) -> BatchSummary:
        """Report a failure, whether a retry can help or not."""
        try:
            return super().execute(context)
        except BatchFailedError as error:
            assert_type(error.manifest, str | None)
            raise
        except EvoLinkFailException as failure:
            if isinstance(failure.error, BatchFailedError):
                self.log.error("%s", failure.error.manifest)
            raise


class MyRecovery(EvoLinkRecoverOperator):
    """A custom operator that reports what could not be recovered."""

    def execute(self, context: Any) -> RecoverySummary:
        """Log the ids and codes."""
        try:
            return super().execute(context)
        except RecoveryFailedError as error:
            assert_type(error.failed, list[RecoveryFailure])
            for failed in error.failed:
                self.log.error("%s %s", failed["generation_id"], failed["code"])
            raise


def a_trigger() -> EvoLinkGenerationTrigger:
    """Use the trigger in a custom operator."""
    return EvoLinkGenerationTrigger("evolink_default", "task-unified-1", submitted_at=0.0, deadline=1800.0)


def a_sensor_trigger() -> EvoLinkSensorTrigger:
    """Recreate a sensor's trigger from the arguments that Airflow has stored."""
    return EvoLinkSensorTrigger(
        "evolink_default", generation_id="task-unified-1", submitted_at=0.0, deadline=1800.0, pushes_record=False
    )


def a_batch_trigger(watches: str) -> EvoLinkBatchTrigger:
    """Recreate a batch's trigger from the arguments that Airflow has stored."""
    return EvoLinkBatchTrigger("evolink_default", watches, at_least=25, longest_wait=300.0)
