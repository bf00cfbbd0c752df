"""The modules of the page as one script, and the page as one file that needs no server and no network.

Our own modules have no name in common at their top, so that they become one by taking their imports and exports away;
others are put into a function. Each script and style is named by its hash in the policy of the page.
"""

import base64
import posixpath
import re
from collections.abc import Mapping
from graphlib import TopologicalSorter
from typing import Any, Final

from metaxy.printable import json_text
from metaxy.service.drawings import bundled, policy_hash
from metaxy.ui.guard import policy

VENDORED: Final = "vendor/"
IMPORT: Final = re.compile(r'^import\s*\{([^}]*)\}\s*from\s*"(\./[^"]+)";[^\n]*\n', re.MULTILINE)
NAMES: Final = re.compile(r"export\s*\{([^}]*)\};?\s*$")
LINK: Final = re.compile(r'<link rel="stylesheet" href="assets/([^"]+)">\n?')
ICON: Final = re.compile(r'href="assets/([^"]+\.svg)"')
SCRIPT: Final = re.compile(r'<script type="module" src="assets/([^"]+)"></script>\n?')
HEAD: Final = "</head>"
BODY: Final = "</body>"
MARK: Final = '<meta name="generator" content="mx ui --export">'


def script(start: str, files: Mapping[str, str]) -> str:
    r"""Return a module and all that it needs as one.

    >>> print(script("b.js", {"b.js": 'import { a } from "./a.js";\nshow(a);', "a.js": "export const a = 1;\n"}))
    const a = 1;
    show(a);
    """
    needs = {start: _needs(start, files)}
    waiting = [*needs[start]]
    while waiting:
        if (name := waiting.pop()) not in needs:
            needs[name] = _needs(name, files)
            waiting += needs[name]
    ordered = TopologicalSorter(needs).static_order()
    return "\n".join(
        _vendored(files[name]) if name.startswith(VENDORED) else bundled(files[name]).strip("\n") for name in ordered
    )


def _needs(name: str, files: Mapping[str, str]) -> list[str]:
    """Return what a module imports, in an order that is always the same, as is then what is made of it."""
    if name.startswith(VENDORED):
        return []
    folder = posixpath.dirname(name)
    return sorted({posixpath.normpath(posixpath.join(folder, path)) for _, path in IMPORT.findall(files[name])})


def _vendored(text: str) -> str:
    """Return a module as what it exports, taken out of a function."""
    [names] = NAMES.findall(text)
    pairs = [each.split(" as ") for each in names.replace("\n", " ").split(",") if each.strip()]
    shown = [(pair[0].strip(), pair[-1].strip()) for pair in pairs]
    inside = ", ".join(f"{public}: {name}" for name, public in shown)
    outside = ", ".join(public for _, public in shown)
    return f"const {{{outside}}} = (() => {{\n{NAMES.sub('', text)}\nreturn {{{inside}}};\n}})();"


def page(files: Mapping[str, str], answers: Mapping[str, Any]) -> str:
    """Return the page as one file with answers in it."""
    styles = [files[name] for name in LINK.findall(files["index.html"])]
    [start] = SCRIPT.findall(files["index.html"])
    code, sheet = _closed(script(start, files)), "\n".join(styles)
    rules = policy((), scripts=policy_hash(code), styles=policy_hash(sheet), connect="'none'")
    text = SCRIPT.sub("", LINK.sub("", files["index.html"]))
    text = ICON.sub(lambda found: f'href="{_data_url(files[found[1]])}"', text)
    head = f"{_meta(rules)}<style>{sheet}</style>\n"
    body = f'<script type="application/json" id="exported">{embedded(answers)}</script>\n'
    body += f'<script type="module">{code}</script>\n'
    return (
        text.replace("<meta charset", f"{MARK}\n<meta charset", 1).replace(HEAD, head + HEAD).replace(BODY, body + BODY)
    )


def shell(index: str) -> str:
    """Return the first file of a folder that a web server gives, with the policy that this server would send."""
    text = index.replace("<meta charset", f"{MARK}\n<meta charset", 1)
    return text.replace("<title>", f"{_meta(policy(()))}<title>", 1)


def embedded(value: Any) -> str:
    r"""Return JSON that cannot end the element that it is in, whatever it says.

    >>> print(embedded({"name": "</script><!--"}))
    {"name": "\u003c/script>\u003c!--"}
    """
    return json_text(value).replace("<", "\\u003c")


def _meta(rules: str) -> str:
    kept = "; ".join(rule for rule in rules.split("; ") if not rule.startswith("frame-ancestors"))  # of no use here
    return f'<meta http-equiv="Content-Security-Policy" content="{kept}">\n'


def _closed(code: str) -> str:
    r"""Return code that cannot end the element that it is in: in texts of it, `\\/` is a slash."""
    return code.replace("</script", r"<\/script").replace("<!--", r"<\!--")


def _data_url(svg: str) -> str:
    return f"data:image/svg+xml;base64,{base64.b64encode(svg.encode()).decode()}"
