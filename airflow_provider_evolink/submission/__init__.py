# SPDX-License-Identifier: Apache-2.0
"""Pay once: submit a generation so that one task instance pays for it at most once.

The guarantee rests on a *write-ahead record*. The intent, with a random idempotency key, is durable in the ledger
before the POST leaves, and the id of the generation is durable before anything else is done with it. Whatever dies in
between, the next try finds the record and continues from there: it sends the same request again under the same
idempotency key, with the same links to uploaded files, or resumes the recorded generation. If the ledger can't be read
or written, nothing is sent.

* :mod:`.record`: one submission, as it is stored.
* :mod:`.ledger`: the durable record of a task instance.
* :mod:`.remote_state`: what EvoLink reports about the recorded generation.
* :mod:`.decision`: what a try may do: submit, replay, attach, finish or refuse.
* :mod:`.send_outcome`: what follows a POST: send again, withdraw the intent, or leave it open.
* :mod:`.media_links`: the links of a submission's media, the same at every send.
* :mod:`.submitter`: carries out the decision: intent, POST, id.
* :mod:`.reports`: the errors that a try ends with.

Nothing in this package imports Airflow: the stores, and the calls that send and read, are passed in.
"""
