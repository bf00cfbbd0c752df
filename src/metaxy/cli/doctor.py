"""`mx doctor`: is everything as it should be?"""

from collections.abc import Mapping
from typing import Final

from metaxy.cli.failures import FAILURE
from metaxy.cli.output import OutputFormat, print_json, print_table, print_text
from metaxy.cli.workspace import workspace
from metaxy.service.health import State, examine

SIGNS: Final[Mapping[State, str]] = {"fine": "✓", "note": "○", "problem": "✗"}


def doctor(*, format: OutputFormat = "plain") -> int:
    """Check configuration, modules, features, lock file and stores, and say what is wrong; it fails if anything is.

    Args:
        format: How to print what was found.
    """
    found = examine(workspace())
    problems = sum(finding.state == "problem" for finding in found)
    if format == "json":
        print_json({"problems": problems, "findings": [finding._asdict() for finding in found]})
    else:
        print_table("", ["", "Area", "What", "Finding"], [(SIGNS[f.state], f.area, f.subject, f.text) for f in found])
        print_text(f"{problems} problem(s)" if problems else "Everything is fine.")
    return FAILURE if problems else 0
