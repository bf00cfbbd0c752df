"""The status of features as a notebook shows it."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from metaxy.dag.stats import size_text
from metaxy.notebook import Html, State, card, escaped, joined, marked, table

STATES: Final[dict[str, tuple[State, str]]] = {
    "missing": ("bad", "✗ no table"),
    "root_feature": ("idle", "○ root"),
    "needs_update": ("due", "⚠ needs an update"),
    "up_to_date": ("good", "✓ up to date"),
    "error": ("bad", "! error"),
}
COUNTS: Final = ("missing", "stale", "orphaned")
FEATURES: Final = 200  # that are shown


def status_page(title: str, statuses: Sequence[Mapping[str, Any]]) -> str:
    """Return statuses, as plain data, as one table; nothing is counted for that."""
    shown = statuses[:FEATURES]
    heads = ("feature", "", "rows", "new", "stale", "orphaned", "")
    due = sum(bool(each["needs_update"]) for each in statuses)
    note = f"{due:,} of {len(statuses):,} features need an update" if len(statuses) != 1 else ""
    more = len(statuses) - len(shown)
    return card(title, table(map(_cells, shown), heads), Html(f"<p>and {more:,} more</p>" if more else ""), note=note)


def _cells(status: Mapping[str, Any]) -> list[object]:
    state, text = STATES[status["status"]]
    rows = _count(status["store_rows"] if status["metadata_exists"] else None)
    counts = (_count(status[name]) for name in COUNTS)
    return [status["feature_key"], marked(text, state), rows, *counts, joined(_remarks(status), "<br>")]


def _count(count: int | None) -> str:
    return "-" if count is None else f"{count:,}"


def _remarks(status: Mapping[str, Any]) -> Iterator[Html]:
    """Yield what is to be said beside the counts."""
    if status["error_message"]:
        yield marked(status["error_message"], "bad")
    if status["missing_input"]:
        yield escaped(f"no input from {', '.join(status['missing_input'])}")
    if status["parent_columns"]:
        yield escaped(f"new and stale are parents, by {', '.join(status['parent_columns'])}")
    for name in ("failed", "behind", "claimed"):
        if status[name]:
            yield escaped(f"{status[name]:,} {name}")
    if status["progress_percentage"] is not None:
        yield escaped(f"{status['progress_percentage']:.0f} % computed at least once")
    if status["last_write"] is not None:
        yield escaped(f"written {status['last_write']:%Y-%m-%d %H:%M} UTC")
    if status["size_bytes"] is not None:
        yield escaped(size_text(status["size_bytes"]))
    if status["changed_fields"]:
        changed = ", ".join(f"{field} {count:,}" for field, count in status["changed_fields"].items())
        yield escaped(f"changed fields: {changed}")
