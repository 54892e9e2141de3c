# SPDX-License-Identifier: Apache-2.0
"""A poster and a trailer by decorated functions, a teaser and three scenes from Python; sync and async."""

import asyncio

from airflow.sdk import DAG, Asset, task

from airflow_provider_evolink.hooks.evolink import EvoLinkHook

FOLDER = "s3://shop@videos/films/{{ ds }}"

with DAG("taskflow", schedule=None, default_args={"retries": 2}):

    @task
    def film():
        return {"title": "The Lighthouse", "scenes": ["Dawn", "Noon", "Dusk"]}

    @task.evolink(model="gpt-image-2", destination=FOLDER)
    def poster(film):
        return {"prompt": f"A poster of the film {film['title']}", "size": "2:3"}

    @task.evolink(model="gemini-omni-flash-text-to-video", destination=FOLDER)
    async def trailer(film):
        return {"prompt": f"The trailer of {film['title']}", "duration": 10}

    @task(inlets=[Asset("evolink_ledger")])
    def teaser(film, poster):
        evolink = EvoLinkHook()
        parameters = {"prompt": f"{film['title']} comes to life", "image_urls": poster["results"], "duration": 3}
        video = evolink.generate("gemini-omni-flash-image-to-video", parameters, key="teaser")
        return evolink.land(video, "s3://shop@videos/films", "teasers/{generation_id}.{ext}")

    @task(inlets=[Asset("evolink_ledger")])
    async def scenes(film):
        evolink = EvoLinkHook()
        model = "gemini-omni-flash-text-to-video"
        calls = [evolink.generate_async(model, {"prompt": scene}, key=scene) for scene in film["scenes"]]
        records = await asyncio.gather(*calls)
        return [await evolink.land_async(record, "s3://shop@videos/films/scenes") for record in records]

    the_film = film()
    teaser(the_film, poster(the_film))
    trailer(the_film)
    scenes(the_film)
