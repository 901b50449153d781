"""Hooks of the documentation site: README.md and other pages outside docs/ belong to it, under the same links."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT = Path(__file__).resolve().parent.parent
OUTSIDE = (
    "README.md",
    "CHANGELOG.md",
    "SECURITY.md",
    "benchmarks/README.md",
    "benchmarks/results/peers.png",
    "model/weights/README.md",
    "model/weights/acfd-n.md",
    "model/weights/acfd-s.md",
    "model/weights/acfd-id.md",
)
LINK = re.compile(r'(\]\(|src=")(?!https?:|#)([^)"#\s]+)')


def site_path(file: str) -> str:
    """Path in the site of a file of the repository."""
    return "index.md" if file == "README.md" else file.removeprefix("docs/").replace(".ipynb", ".md")


def notebook_page(path: Path) -> str:
    """The cells and outputs of a notebook in Markdown."""
    parts = []
    for cell in json.loads(path.read_text())["cells"]:
        text = "".join(cell["source"])
        parts.append(text if cell["cell_type"] == "markdown" else f"```python\n{text}\n```")
        for output in cell.get("outputs", ()):
            if "text" in output:
                parts.append(f"```text\n{''.join(output['text'])}```")
            elif "image/png" in output["data"]:
                parts.append(f"![The output of the cell](data:image/png;base64,{output['data']['image/png'].strip()})")
    return "\n\n".join(parts)


def on_files(files: Files, *, config: MkDocsConfig) -> Files:
    """Add the pages and pictures outside docs/, and a page for each notebook."""
    for path in (ROOT / "docs").glob("*.ipynb"):
        files.append(File.generated(config, f"{path.stem}.md", content=notebook_page(path)))
    for name in OUTSIDE:
        files.append(File.generated(config, site_path(name), abs_src_path=str(ROOT / name)))
    return files


def on_page_markdown(markdown: str, *, page: Page, config: MkDocsConfig, files: Files) -> str:
    """The page with the links that the files have in the site; a link to a file outside it stays, and fails."""
    folder = Path(page.file.abs_src_path or ROOT / "docs/notebook").parent

    def moved(link: re.Match[str]) -> str:
        target = os.path.relpath(folder / link[2], ROOT)
        return link[1] + os.path.relpath(site_path(target), os.path.dirname(page.file.src_uri) or ".")

    return LINK.sub(moved, markdown)
