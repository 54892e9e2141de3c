# SPDX-License-Identifier: Apache-2.0
"""How triggers find the stub: connection ids, and the environment variable with its port."""

from __future__ import annotations

EVOLINK, HTTP, DBT = "bench_evolink", "bench_http", "bench_dbt"
PORT_VARIABLE = "EVOLINK_BENCHMARK_PORT"
