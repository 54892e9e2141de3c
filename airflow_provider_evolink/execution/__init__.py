# SPDX-License-Identifier: Apache-2.0
"""What a running task does about a generation, whichever way it was written: as an operator, or in Python.

* :mod:`.task_state`: where a task instance remembers what it has paid for and landed.
* :mod:`.task_ledger`: what it records after the submission, and reads back when it resumes.
* :mod:`.generation_wait`: waits on the worker, and turns the end of a generation into a record or an error.
* :mod:`.collecting_wait`: the same for what never submits.
* :mod:`.landing_step`: lands results.
* :mod:`.limits`, :mod:`.policies`: check how long to wait, and what may be paid for.
* :mod:`.reports`: the errors that a task ends with after the payment.
* :mod:`.generation_call`, :mod:`.calling_task`: the calls of ``EvoLinkHook.generate`` and ``wait``.

It does not know the hook: what it needs of an account is in :mod:`.account`.
"""
