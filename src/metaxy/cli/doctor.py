"""`mx doctor`: is everything as it should be?"""

from collections.abc import Mapping
from typing import Final

from metaxy.cli.failures import FAILURE
from metaxy.cli.output import OutputFormat, print_json, print_table, print_text
from metaxy.cli.workspace import workspace
from metaxy.service.health import State, examine

SIGNS: Final[Mapping[State, str]] = {"fine": "✓", "note": "○", "problem": "✗"}


def doctor(*, format: OutputFormat = "plain") -> int:
    """Check configuration, modules, features, lock file and stores, and say what is wrong; it fails if anything is."""
    found = examine(workspace())
    problems, notes = (sum(finding.state == state for finding in found) for state in ("problem", "note"))
    if format == "json":
        print_json({"problems": problems, "findings": [finding._asdict() for finding in found]})
    else:
        print_table("", ["", "Area", "What", "Finding"], [(SIGNS[f.state], f.area, f.subject, f.text) for f in found])
        counts = ", ".join(f"{n} {what}" for n, what in ((problems, "problem(s)"), (notes, "note(s)")) if n)
        print_text(counts or "Everything is fine.")
    return FAILURE if problems else 0
