# SPDX-License-Identifier: Apache-2.0
"""Makes drafts, one after the other, until they are good or have cost 20 credits, and lands the last one."""

from airflow.sdk import DAG, Asset, task

from airflow_provider_evolink.hooks.evolink import EvoLinkHook
from airflow_provider_evolink.retry import evolink_retry_policy


def is_good(file):
    return file["bytes"] > 1_000_000


with DAG("loop", schedule=None, default_args={"retry_policy": evolink_retry_policy()}):

    @task(retries=3, inlets=[Asset("evolink_ledger")])
    def drafts():
        evolink, spent = EvoLinkHook(), 0
        for number in range(1, 10):
            parameters = {"prompt": "A lighthouse", "seed": number}
            draft = evolink.generate("z-image-turbo", parameters, key=f"draft-{number}")
            [file] = evolink.land(draft, "s3://shop@videos/drafts", f"draft-{number}.{{ext}}")
            spent += draft["usage"]["credits_used"]
            if is_good(file) or spent >= 20:
                break
        return {"file": file["uri"], "drafts": number, "spent": spent}

    drafts()
