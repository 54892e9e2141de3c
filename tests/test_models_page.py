# SPDX-License-Identifier: Apache-2.0
"""The table of models in the documentation."""

from __future__ import annotations

from airflow_provider_evolink.api import catalog
from scripts import make_model_table


def test_the_table_of_models_is_current() -> None:
    """The page is what `make docs-models` writes, and has all models."""
    page = make_model_table.PAGE.read_text(encoding="utf-8")
    assert page == make_model_table.page()
    assert len(catalog.names()) == 163
    assert all(f"`{name}`" in page for name in catalog.names())
