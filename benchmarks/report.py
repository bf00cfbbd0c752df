"""What was measured, as JSON, as a Markdown table and as an SVG plot."""

import json
from pathlib import Path
from typing import Any

COLOURS = {"ours": "#0b7285", "released": "#adb5bd"}
OTHERS = ("#e8590c", "#f08c00", "#ae3ec9", "#5c940d")
HEADINGS = (
    *("engine", "case", "rows", "phase", "ours, s", "best by hand, s", "by hand / ours", "released, s"),
    *("released / ours", "CPU: released / ours", "floor / ours", "peak MB: ours, released"),
)
BAR, GAP, LEFT, WIDTH = 12, 10, 260, 420


def line(result: dict[str, Any]) -> str:
    """Return one result as a line of text."""
    found = result["contestants"]
    times = "  ".join(
        f"{name} {taken['wall'] * 1000:,.0f} ms (cpu {taken['cpu'] * 1000:,.0f})" for name, taken in found.items()
    )
    notes = "".join(f"  {name}: {note}" for name, note in result["notes"].items())
    return f"{title(result):48} {times}{notes}"


def title(result: dict[str, Any]) -> str:
    """Return what was measured."""
    return f"{result['engine']} {result['case']} {result['rows']:,} {result['phase']}"


def ratio(result: dict[str, Any], other: str, measure: str = "wall") -> str:
    """Return the time of another contestant as a multiple of ours."""
    found = result["contestants"]
    return f"{found[other][measure] / found['ours'][measure]:.2f}" if other in found and "ours" in found else ""


def by_hand(result: dict[str, Any]) -> str:
    """Return the name of the fastest contestant that was written by hand."""
    known = {name: taken["wall"] for name, taken in result["contestants"].items()}
    hands = {name: wall for name, wall in known.items() if name not in {"ours", "released", "floor"}}
    return min(hands, key=lambda name: hands[name]) if hands else ""


def markdown(results: list[dict[str, Any]]) -> str:
    """Return a table: seconds, and ratios greater than 1 where we are ahead."""
    rows = [
        f"| {' | '.join(HEADINGS)} |",
        "|---|---|--:|---|--:|--:|--:|--:|--:|--:|--:|--:|",
    ]
    for result in results:
        found, hand = result["contestants"], by_hand(result)
        seconds = {name: f"{taken['wall']:.3f}" for name, taken in found.items()}
        peaks = ", ".join(f"{found[name]['peak'] / 1e6:,.0f}" for name in ("ours", "released") if name in found)
        cells = [result["engine"], result["case"], f"{result['rows']:,}", result["phase"], seconds.get("ours", "")]
        cells += [f"{seconds[hand]} ({hand})" if hand else "", ratio(result, hand) if hand else ""]
        cells += [seconds.get("released", ""), ratio(result, "released"), ratio(result, "released", "cpu")]
        cells += [ratio(result, "floor"), peaks]
        rows.append(f"| {' | '.join(cells)} |")
    return "\n".join(rows) + "\n"


def plot(results: list[dict[str, Any]]) -> str:
    """Return bars of wall time, relative to the slowest contestant of each phase."""
    pieces: list[str] = []
    top = 24
    for result in results:
        found = result["contestants"]
        slowest = max(taken["wall"] for taken in found.values()) or 1.0
        pieces.append(f'<text x="4" y="{top + BAR - 2}" font-weight="bold">{title(result)}</text>')
        others = iter(OTHERS * len(found))
        for name, taken in found.items():
            length = WIDTH * taken["wall"] / slowest
            colour = COLOURS.get(name) or next(others)
            pieces.append(f'<rect x="{LEFT}" y="{top}" width="{length:.1f}" height="{BAR}" fill="{colour}"/>')
            label = f"{name} {taken['wall'] * 1000:,.0f} ms"
            pieces.append(f'<text x="{LEFT + length + 4:.1f}" y="{top + BAR - 2}">{label}</text>')
            top += BAR + 2
        top += GAP
    head = f'<svg xmlns="http://www.w3.org/2000/svg" width="{LEFT + WIDTH + 160}" height="{top}"'
    return "\n".join([f'{head} font-family="sans-serif" font-size="11">', *pieces, "</svg>"]) + "\n"


def write(folder: Path, measured: dict[str, Any]) -> None:
    """Write all three."""
    (folder / "results.json").write_text(json.dumps(measured, indent=1) + "\n")
    (folder / "results.md").write_text(markdown(measured["results"]))
    (folder / "results.svg").write_text(plot(measured["results"]))
