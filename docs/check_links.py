"""Every link inside the built site leads to a page, and every fragment to an element of it.

    python docs/check_links.py docs/_build/html
"""

import sys
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit


class Page(HTMLParser):
    """The links of a page and the names that links can lead to."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.links: list[str] = []
        self.names: set[str] = set()
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        for name, value in attrs:
            if value and name in ("href", "src"):
                self.links.append(value)
            elif value and (name == "id" or (tag == "a" and name == "name")):
                self.names.add(value)


def broken(root: Path) -> tuple[int, list[str]]:
    """How many links were followed, and those that lead nowhere."""
    # The theme's own templates under _static are no pages.
    paths = [path.resolve() for path in root.rglob("*.html") if "_static" not in path.parts]
    pages = {path: Page(path) for path in paths}
    found, n_links = [], 0
    for path, page in pages.items():
        for link in page.links:
            parts = urlsplit(link)
            if parts.scheme or parts.netloc:
                continue
            n_links += 1
            target = (path.parent / unquote(parts.path)).resolve() if parts.path else path
            if target.is_dir():
                target /= "index.html"
            there = target.exists()
            if there and parts.fragment and target in pages:
                there = unquote(parts.fragment) in pages[target].names
            if not there:
                found.append(f"{path.relative_to(root.resolve())}: {link}")
    return n_links, found


if __name__ == "__main__":
    n_links, found = broken(Path(sys.argv[1]))
    print("\n".join([*found, f"{n_links} internal links, {len(found)} broken"]))
    sys.exit(bool(found or not n_links))
