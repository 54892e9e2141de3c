# SPDX-License-Identifier: Apache-2.0
"""``make demo-batch``: turn a table with 20 pictures into 20 videos through a real Airflow, in one task."""

from __future__ import annotations

import sys
from pathlib import Path

from demo.batch import DAG_ID, Batch, generate_videos
from demo.command import run_command
from demo.contact_sheet import write_contact_sheet
from demo.products import COLUMNS, Products, write_products
from demo.screen import Screen
from demo.session import FOLDER, PROJECT, Session, running

ROWS = 20
_FOLDER = FOLDER / "batch"


def main() -> int:
    """Run the demo, and return the exit code."""
    return run_command(_demo, is_emulated=True)


def _demo(screen: Screen, key: str | None) -> None:
    with running(screen, key, DAG_ID) as session:
        with screen.step("Table") as step:
            products = write_products(_FOLDER, ROWS)
            step.note(f"{products.count} rows, a picture each")
        batch = generate_videos(session, screen, products, _FOLDER / "videos")
        with screen.step("Contact sheet") as step:
            sheet = _FOLDER / "contact-sheet.png"
            write_contact_sheet(sheet, batch.videos)
            step.note(f"a frame of each of {len(batch.videos)} videos")
        facts = _facts(session, products, batch, sheet)
        screen.close()
        screen.facts(facts)
    screen.print("Everything is stopped.")


def _facts(session: Session, products: Products, batch: Batch, sheet: Path) -> dict[str, str]:
    summary, count = batch.summary, session.evolink.count
    return {
        "Table": f"{_relative(products.table)} ({products.count} rows: {', '.join(COLUMNS)})",
        "Rows": ", ".join(f"{summary[name]} {name}" for name in ("landed", "skipped", "failed", "unfinished")),
        "Videos": f"{_relative(batch.videos[0])} to {batch.videos[-1].name}",
        "Manifest": _relative(batch.manifest),
        "Contact sheet": _relative(sheet),
        "Credits": f"{summary['credits_used']} used",
        "Requests": count() if count else "counted by the emulator only",
        "Run": f"{batch.seconds:.0f} s from the start of the DAG run to its end",
    }


def _relative(path: Path) -> str:
    return str(path.relative_to(PROJECT))


if __name__ == "__main__":
    sys.exit(main())
