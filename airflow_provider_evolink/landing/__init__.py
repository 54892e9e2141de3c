# SPDX-License-Identifier: Apache-2.0
"""Copy results into storage the user owns, before their links expire.

How a result lands:

1. :mod:`sources` reads what the task was given (records or generation ids) and lists the results to land.
2. :mod:`lander` lands one result. :mod:`checkpoint` remembers what an earlier attempt has landed already.
3. :mod:`download` fetches the link into a staging file without a name (:mod:`unnamed_file`, :mod:`hashing_writer`).
   :mod:`safe_http` decides where it may connect, :mod:`range_requests` how to resume, :mod:`download_budget` when to
   give up. :mod:`media_types` identifies the file by its first bytes.
4. :mod:`filenames` gives the file its name, and :mod:`storage` publishes it under that name in one step, once it is
   complete. :mod:`existing` decides what happens if another file has that name.

:mod:`partial_failure` lets the other results land if one fails.

Nothing here imports Airflow, except to open a destination (:mod:`storage_target`).
"""
