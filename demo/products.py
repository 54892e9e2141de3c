# SPDX-License-Identifier: Apache-2.0
"""The products of a demo: a table as a user would write it, and the pictures that it names."""

from __future__ import annotations

import csv
import shutil
from dataclasses import dataclass
from pathlib import Path

from demo.pictures import draw, vase
from demo.png import write_png

COLUMNS = ("sku", "image", "prompt")
_PROMPTS = (
    "The camera moves slowly towards the vase while the light changes. No dialogue.",
    "The vase turns once around itself on the table. No dialogue.",
    "Petals drift past the vase. No dialogue.",
    "The sun goes down, and the shadow of the vase grows. No dialogue.",
)


@dataclass(frozen=True)
class Products:
    """A table of products.

    :param table: the CSV file.
    :param count: its rows.
    """

    table: Path
    count: int


def write_products(folder: Path, count: int) -> Products:
    """Write a table and a picture for each of its rows.

    :param folder: to write them in; emptied first.
    """
    shutil.rmtree(folder, ignore_errors=True)
    (folder / "pictures").mkdir(parents=True)
    with (folder / "products.csv").open("w", encoding="utf-8", newline="") as file:
        table = csv.DictWriter(file, COLUMNS, lineterminator="\n")
        table.writeheader()
        for number in range(count):
            table.writerow(_product(folder, number, count))
    return Products(folder / "products.csv", count)


def _product(folder: Path, number: int, count: int) -> dict[str, str]:
    sku = f"vase-{number + 1:02d}"
    image = f"pictures/{sku}.png"
    write_png(folder / image, draw(vase(number, count)))
    return {"sku": sku, "image": image, "prompt": _PROMPTS[number % len(_PROMPTS)]}
