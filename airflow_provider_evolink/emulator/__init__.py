# SPDX-License-Identifier: Apache-2.0
"""A local EvoLink for demos, tests and users' own CI: true to EvoLink's documentation, and free of charge.

Run it with ``python -m airflow_provider_evolink.emulator``, from Python with ``running()``, or in pytest with the
fixture ``evolink_emulator``. It needs the extra ``emulator``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from airflow_provider_evolink.emulator.server import EmulatorHandle, running
    from airflow_provider_evolink.emulator.settings import DEFAULT_API_KEY, Settings

__all__ = ["DEFAULT_API_KEY", "EmulatorHandle", "Settings", "running"]


def __getattr__(name: str) -> Any:
    # The pytest plugin imports this package in every pytest run, so everything else loads on first use.
    if name not in __all__:
        raise AttributeError(name)
    from airflow_provider_evolink.emulator import server, settings

    return getattr(settings, name, None) or getattr(server, name)
