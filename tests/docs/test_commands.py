"""Pages that show commands show what the commands say.

In a `console` block, a line that starts with `$ ` is a command, and the lines below it are what it prints; `...` stands
for anything. All commands of a page run one after the other, in one folder that is empty at first, or is that of the
example whose page it is. A `toml` or `python`
block that follows `<!-- file: NAME -->` is a file there; `<!-- edit NAME: OLD -> NEW -->` changes one.
"""

import os
import re
import shlex
import shutil
import subprocess
import sys
from contextlib import redirect_stderr, redirect_stdout
from contextvars import Context
from doctest import ELLIPSIS, NORMALIZE_WHITESPACE, OutputChecker
from importlib import invalidate_caches
from io import StringIO
from pathlib import Path

import pytest
from tests.docs.test_pages import EXAMPLES, PAGES, ROOT, read

from metaxy import context
from metaxy.cli.app import main
from metaxy.dag.graph import FeatureGraph
from metaxy.testing import env_override
from metaxy.testing.environment import no_metaxy_variables

STEP = re.compile(
    r"^```console\n(?P<console>.*?)^```$"
    r"|^<!-- file: (?P<file>\S+) -->\n```\w+\n(?P<text>.*?)^```$"
    r"|^<!-- edit (?P<edited>\S+): (?P<old>.*?) -> (?P<new>.*?) -->$",
    re.MULTILINE | re.DOTALL,
)
PROMPT = re.compile(r"^\$ (.*)\n((?:(?!\$ ).*\n)*)", re.MULTILINE)

AUTHOR = {f"GIT_{role}_{what}": "me@example.com" for role in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}

# Examples with a `pipeline.py` have tests of their own.
BY_HAND = [page for page in EXAMPLES if not (ROOT / page).with_name("pipeline.py").exists()]
COMMANDS = [page for page in (*PAGES, *BY_HAND) if "```console\n$ " in read(page)]


class Session:
    """A terminal in a folder; `mx` runs in this process, which is quicker."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def run(self, command: str) -> str:
        words = shlex.split(command)
        if words[0] == "cd":
            self.folder = (self.folder / words[1]).resolve()
            return ""
        with env_override(**no_metaxy_variables()):
            return self._mx(words[1:]) if words[0] == "mx" else self._other(words)

    def _other(self, words: list[str]) -> str:
        command = [sys.executable if words[0] == "python" else words[0], *words[1:]]
        done = subprocess.run(
            command,
            cwd=self.folder,
            env=os.environ | AUTHOR,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            encoding="utf-8",
        )
        return done.stdout

    def _mx(self, words: list[str]) -> str:
        out, before = StringIO(), (Path.cwd(), set(sys.modules), list(sys.path), sys.dont_write_bytecode)
        os.chdir(self.folder)
        invalidate_caches()
        sys.dont_write_bytecode = True  # bytecode is only checked by the second
        try:
            with redirect_stdout(out), redirect_stderr(out):
                Context().run(main_in_new_graph, words)
        finally:
            os.chdir(before[0])
            context.set_global_settings(None)
            sys.path[:], sys.dont_write_bytecode = before[2:]
            for name in set(sys.modules) - before[1]:
                if self.folder in Path(getattr(sys.modules[name], "__file__", None) or "/").parents:
                    del sys.modules[name]
        return out.getvalue()


def main_in_new_graph(words: list[str]) -> None:
    context.set_global_settings(None)
    with FeatureGraph().use():
        main(words)


@pytest.mark.parametrize("page", COMMANDS)
def test_commands_print_what_the_page_says(page: str, tmp_path: Path) -> None:
    session = Session(tmp_path / "project")
    if page in BY_HAND:
        shutil.copytree((ROOT / page).parent, session.folder)
    session.folder.mkdir(exist_ok=True)
    for step in STEP.finditer(read(page)):
        if step["file"]:
            path = session.folder / step["file"]
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(step["text"], encoding="utf-8")
        elif step["edited"]:
            path = session.folder / step["edited"]
            text = path.read_text(encoding="utf-8")
            assert step["old"] in text
            path.write_text(text.replace(step["old"], step["new"], 1), encoding="utf-8")
        else:
            for command, expected in PROMPT.findall(step["console"] or ""):
                shown = session.run(command)
                options = ELLIPSIS | NORMALIZE_WHITESPACE
                assert OutputChecker().check_output(expected, shown, options), f"$ {command}\n{shown}"
