"""How messages word a near match, what another library said, and a path."""

import difflib
import shlex
from collections.abc import Iterable, Sequence
from pathlib import Path, PurePath


def did_you_mean(name: str, options: Iterable[str]) -> str:
    """Return `` Did you mean 'x'?`` for the closest option, or an empty string.

    >>> did_you_mean("vidoe", ["video", "audio"])
    " Did you mean 'video'?"
    >>> did_you_mean("zzz", ["video"])
    ''
    """
    spelled = {option.lower(): option for option in options}
    close = difflib.get_close_matches(name.lower(), spelled, n=1)
    return f" Did you mean {spelled[close[0]]!r}?" if close else ""


def first_of(names: Sequence[object], most: int = 10) -> str:
    """Return the first of some names, and how many more there are.

    >>> first_of(["a", "b", "c"], most=2)
    'a, b and 1 more'
    """
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(map(str, names[:most])) + more


def text_of(error: BaseException) -> str:
    r"""Return what an error says, whatever code of others raised it, as text that can be stored and shown.

    >>> text_of(ValueError("no file a\udcff"))
    'no file a\\udcff'
    """
    try:
        text = str(error)
    except Exception as failed:
        return f"its message cannot be told: {type(failed).__name__}"
    return storable(text)


def storable(text: str) -> str:
    r"""Return a text that can be stored: what no encoding gave stands there as an escape.

    >>> print(storable("caf\udce9.png"))
    caf\udce9.png
    """
    return text.encode("utf-8", "backslashreplace").decode("utf-8")


def first_line(error: BaseException) -> str:
    r"""Return the first line of what an error says, the name of its kind if it says nothing.

    >>> first_line(ValueError("no such table\n\n  at line 1")), first_line(KeyError())
    ('no such table', 'KeyError')
    """
    lines = [line.strip() for line in text_of(error).splitlines() if line.strip()]
    return lines[0] if lines else type(error).__name__


def command(*words: str, store: str | None) -> str:
    """Return a command as a user would type it; the store is named where it has a name.

    >>> command("metadata", "rename-column", "video", "the size", "bytes", store="prod")
    "`mx metadata rename-column video 'the size' bytes --store prod`"
    >>> command("metadata", "rename", store=None)
    '`mx metadata rename`'
    """
    return f"`mx {shlex.join([*words, *(('--store', store) if store else ())])}`"


def short_path(path: str | PurePath) -> str:
    """Return a path as someone in the working directory would write it.

    >>> short_path(Path.cwd() / "metaxy.toml"), short_path("elsewhere.toml")
    ('metaxy.toml', 'elsewhere.toml')
    """
    folder = Path.cwd()
    return str(Path(path).relative_to(folder) if folder in Path(path).parents else path)
