"""The examples of the pages: each is run by docs/follow.py or says why not, and one page is followed here."""

from __future__ import annotations

from pathlib import Path

import pytest

from acfd_stream.model.toon import render, write_clip
from docs.follow import blocks, pages, reader, shell, walk

ROOT = Path(__file__).resolve().parent.parent


@pytest.mark.parametrize("page", pages(ROOT))
def test_every_example_has_a_language_or_a_reason_not_to_run(page: str) -> None:
    assert [f"{page}:{block.line} {block.fault}" for block in blocks(ROOT, page) if block.fault] == []
    assert len(blocks(ROOT, page)) == (ROOT / page).read_text().count("```") / 2


def follow(page: str, root: Path, files: Path) -> list[str]:
    """What became of each example of a page."""
    with reader(root, files, shell()) as somebody:
        return [walk(block, somebody) for block in blocks(root, page)]


def test_the_page_of_results_can_be_followed(tmp_path: Path) -> None:
    (tmp_path / "shows").mkdir()
    for name in ("episode.mkv", "shows/ep1.mkv"):
        write_clip(tmp_path / name, render("quiet", 4, (180, 320), 6))
    outcomes = follow("docs/results.md", ROOT, tmp_path)
    assert len(outcomes) >= 4
    assert [outcome for outcome in outcomes if not outcome.startswith("done")] == []


PAGE = """
```
echo wrong >&2; false | cat; exit 3
```
```sh
test -f films.txt && test ! -f page.md
```
<!-- not run: needs a moon -->
```sh
false
```
<!-- in the clone -->
```sh
test -f page.md
```
<!-- file: a.toml -->
```toml
a = 1
```
```sh
grep 1 a.toml
```
```json
{"a": …}
```
```text
─▶
```
```ruby
```
```python
a = 1
```
```python
assert a == 2, "not two"
```
"""


def test_an_example_that_fails_is_found(tmp_path: Path) -> None:
    (tmp_path / "page.md").write_text(PAGE)
    (tmp_path / "files").mkdir()
    (tmp_path / "files/films.txt").touch()
    outcomes = follow("page.md", tmp_path, tmp_path / "files")
    words = [outcome.split()[0] for outcome in outcomes]
    assert words == ["FAILS:", "done", "not", "done", "done", "done", "FAILS:", "a", "FAILS:", "done", "FAILS:"]
    assert "status 3" in outcomes[0]
    assert "wrong" in outcomes[0]
    assert outcomes[2] == "not run: needs a moon"
    assert "not two" in outcomes[-1]
