# SPDX-License-Identifier: Apache-2.0
"""The page of the jobs lists them all, with their lines of code."""

from __future__ import annotations

import re
from pathlib import Path

from tests.jobs.job_files import DAGS, USERS_TESTS, lines_of_code

PAGE = Path(__file__).parents[2] / "docs" / "how-to" / "jobs.md"


def test_the_page_counts_lines_of_code() -> None:
    """Each job is on the page, with the number of its lines of code as they are."""
    listed = re.findall(r"\]\(\.\./\.\./tests/jobs/(\S+\.py)\) \| (\d+) \|", PAGE.read_text(encoding="utf-8"))

    files = [*sorted(DAGS.glob("*.py")), USERS_TESTS]
    assert dict(listed) == {file.relative_to(DAGS.parent).as_posix(): str(lines_of_code(file)) for file in files}
