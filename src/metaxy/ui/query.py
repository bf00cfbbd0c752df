"""The query of a question: texts of anyone, turned into what the service takes, or refused."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from metaxy.service.counts import Counts
from metaxy.service.project import Project
from metaxy.ui.counts import Subject
from metaxy.ui.guard import Refusal
from metaxy.ui.options import Options

LONGEST: Final = 10_000  # characters of a filter
LARGEST: Final = 500  # rows of a page
FARTHEST: Final = 10**9  # rows before it
HIDDEN: Final = "what is wrong is not said, as the text may have values of samples in it, and they are hidden"


@dataclass(frozen=True)
class Question:
    """What someone asks: of which feature, about which store, and the rest of the query.

    >>> Question(Project(), Options(), {"limit": "25", "system": "1"}).number("limit", 50, most=LARGEST)
    25
    """

    project: Project
    options: Options
    query: Mapping[str, str]
    feature: str = ""
    last: Callable[[Subject], Counts | None] = lambda _: None

    @property
    def has_media(self) -> bool:
        """Whether images, audio and video are shown."""
        return self.options.rows and bool(self.options.media or self.options.origins)

    @property
    def last_counts(self) -> Counts | None:
        """The last counts of the feature, None if there are none."""
        return self.last(Subject(self.feature, self.store))

    @property
    def store(self) -> str | None:
        """The store that is meant, None for the default one."""
        return self.query.get("store") or self.options.store

    def flag(self, name: str) -> bool:
        """Return whether something is wished."""
        return self.query.get(name, "") not in ("", "0")

    def number(self, name: str, usual: int, *, most: int, least: int = 0) -> int:
        """Return a number.

        Raises:
            Refusal: if it is none, or is too small or too large.
        """
        text = self.query.get(name) or str(usual)
        if not (text.isascii() and text.isdigit() and len(text) < 12 and least <= int(text) <= most):
            raise Refusal(400, f"{name} is a number from {least} to {most}")
        return int(text)

    @property
    def filters(self) -> list[str]:
        """The condition that rows fulfil, which only the parser of filters reads.

        Raises:
            Refusal: if it is too long.
        """
        text = self.query.get("filter", "").strip()
        if len(text) > LONGEST:
            raise Refusal(400, f"the filter has more than {LONGEST} characters")
        return [text] if text else []

    @property
    def ids(self) -> dict[str, Any]:
        """The IDs of a sample.

        Raises:
            Refusal: if they are no JSON object.
        """
        try:
            found = json.loads(self.query.get("id", ""))
        except (ValueError, RecursionError):
            found = None
        if not isinstance(found, dict):
            raise Refusal(400, 'id is a JSON object, such as {"id": 7}')
        return found

    def rows_only(self) -> None:
        """Refuse what shows values of samples, where they are hidden.

        Raises:
            Refusal: if they are.
        """
        if not self.options.rows:
            raise Refusal(403, "values of samples are not shown here", "the page was started with --no-rows")


def without_values(counts: dict[str, Any], options: Options) -> dict[str, Any]:
    """Return counts without what their error may say of values, where these are hidden."""
    return counts if options.rows or not counts.get("error") else counts | {"error": HIDDEN}
