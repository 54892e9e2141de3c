# SPDX-License-Identifier: Apache-2.0
"""Poll generations until they are terminal; imports no Airflow.

All waits in one event loop for generations of one account share one client, one poll loop and one rate limiter. Where
EvoLink takes batches, one request reads up to 50 generations. When to poll is learned from how long earlier generations
of the model took.

The modules, in the order in which a wait passes through them:

* ``poller``: one poller for each event loop and connection; follows a connection that changes.
* ``waiter``: one wait, as a future and what is known so far.
* ``shared_client``: the account's client, looked up and opened once.
* ``poll_loop``: the loop that sends the polls of all waits.
* ``due_queue`` and ``timing_wheel``: which generations are polled next.
* ``rate_limiter``: how fast requests may follow each other.
* ``batch_reader``: how many generations one request reads.
* ``policy`` and ``poll_plan``: when to poll again, and when to stop.
* ``crowd`` and ``wake_rule``: a wait for many generations, until enough have ended to be worth a worker's start.
* ``packed_watches``: what many waits are about, packed for Airflow's database.
* ``events``: the end of a wait, as it passes through Airflow's database.
* ``confirmed_read``: the read on a worker after the wait, repeated until its outcome can be trusted.
"""
