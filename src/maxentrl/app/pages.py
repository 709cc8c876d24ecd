"""The page of any run: the words of its kind, and how to get the same again."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from maxentrl.app import (
    pages_compare,
    pages_deep,
    pages_irl,
    pages_margins,
    pages_plan,
    pages_routes,
    pages_train,
    tour,
)
from maxentrl.app.record import read_manifest
from maxentrl.app.report import code, document, heading, paragraph, text
from maxentrl.core.check import InputError
from maxentrl.core.files import open_atomically


def page(folder: Path) -> str:
    """The text of report.html for the run in this folder.

    Raises:
        InputError: if the folder holds no run, or one of a kind that this version does not know.
    """
    manifest = read_manifest(folder)
    makers = {
        "plan": pages_plan.blocks,
        "irl mce": pages_irl.blocks,
        "irl maxent": pages_irl.blocks,
        "irl apprenticeship": pages_margins.apprenticeship,
        "irl max-margin": pages_margins.max_margin,
        "irl deep-maxent": pages_deep.blocks,
        "quickstart": tour.blocks,
        "train": pages_train.blocks,
        "compare": pages_compare.blocks,
    }
    if manifest.get("kind") not in makers:
        raise InputError(
            f"{folder} is a run of kind {manifest.get('kind')!r}; known are {', '.join(makers)}."
        )
    try:
        on_roads = "arcs" in manifest["problem"]
        blocks = (pages_routes.blocks if on_roads else makers[manifest["kind"]])(manifest, folder)
        return document(f"{manifest['problem']['title']} · maxentrl", [*blocks, *repeat(manifest)])
    except (KeyError, TypeError, AttributeError, IndexError) as error:
        raise InputError(f"the manifest of {folder} is damaged ({type(error).__name__}: {error}).") from error


def rewrite(folder: str | Path) -> Path:
    """Write report.html of a finished run again; the old page stays until the new one is complete."""
    folder = Path(folder)
    words = page(folder)
    target = folder / "report.html"
    with open_atomically(target) as file:
        file.write(words.encode())
    return target


def repeat(manifest: Mapping[str, Any]) -> list[str]:
    """How to get the same again."""
    versions = ", ".join(f"{name} {found}" for name, found in manifest["versions"].items())
    seeds = [(f"seed of the {name}", seed) for name, seed in manifest["seeds"].items()]
    hashes = [(f"SHA-256 of the {name}", digest) for name, digest in manifest["inputs"].items()]
    return [
        heading("To get the same again"),
        code(manifest["command"]),
        paragraph(
            "On the same machine with the same versions every file comes out the same, byte for byte, but "
            "<code>timing.json</code>, which alone holds dates and durations. The numbers of this page are "
            "in <code>manifest.json</code>, <code>metrics.csv</code> and <code>arrays.safetensors</code> "
            "beside it.",
            "small",
        ),
        paragraph(text(versions), "small"),
        *[
            paragraph(f"{text(name)}: <code>{text(value)}</code>", "small")
            for name, value in [*seeds, *hashes]
        ],
    ]
