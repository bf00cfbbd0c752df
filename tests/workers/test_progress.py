"""What is shown while a run goes on, and of its report."""

import pytest

from metaxy.progress import LINE_SECONDS, Bar, Lines
from metaxy.workers.report import ProcessReport, SampleError


def test_lines_say_how_far_how_fast_and_how_long() -> None:
    now = 0.0
    said: list[str] = []
    lines = Lines("clip", 100, said.append, clock=lambda: now)
    lines.advance(10, 0)
    now = LINE_SECONDS
    lines.advance(8, 2)
    lines.advance(0, 5)
    lines.expect(50)
    now = 2 * LINE_SECONDS
    lines.advance(25, 0)
    assert said == [
        "clip: 18 of 100 samples, 2 failed, 2 per second, 40 s left",
        "clip: 43 of 50 samples, 7 failed, 2 per second",
    ]


def test_a_bar_says_the_same(capsys: pytest.CaptureFixture[str]) -> None:
    bar = Bar("clip [x]", 10)
    bar.advance(3, 1)
    bar.expect(8)
    bar.advance(1, 0)
    bar.advance(1, 0)
    bar.note("Ctrl-C: [what] was begun")
    task = bar._bars.tasks[0]
    bar.stop()
    assert (task.completed, task.total, task.fields["failures"]) == (6, 8, "1 failed")
    assert str(task.fields["rate"]).endswith("/s")
    shown = capsys.readouterr().err
    assert all(text in shown for text in ("clip [x]", "6/8", "1 failed", "Ctrl-C: [what] was begun"))


def test_a_report_shows_itself() -> None:
    error = SampleError({"id": "<b>"}, "ValueError", "no & no")
    report = ProcessReport(
        "clip", "<lambda>", 1_000, done=990, failed=5, lost=2, elsewhere=3, rows=990, seconds=2.0, errors=(error,) * 12
    )
    assert repr(report) == (
        "ProcessReport(clip: 990 of 1,000 samples done, 5 failed, 2 lost to other workers, 3 held by other workers, "
        "2.0 s, 495 per second)"
    )
    html = report._repr_html_()
    assert "<th>&lt;lambda&gt;</th>" in html
    assert "<tr><td>samples</td><td>1,000</td></tr>" in html
    assert "<tr><td>held by others</td><td>3</td></tr>" in html
    assert "orphaned" not in html
    assert html.count("<li>id = &#x27;&lt;b&gt;&#x27;: ValueError: no &amp; no</li>") == 10
    assert "<ul>" not in ProcessReport("clip", "f", 0)._repr_html_()
