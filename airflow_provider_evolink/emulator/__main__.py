# SPDX-License-Identifier: Apache-2.0
"""Entry point of ``python -m airflow_provider_evolink.emulator``."""

from __future__ import annotations

import sys

from airflow_provider_evolink.emulator.cli import main

sys.exit(main())
