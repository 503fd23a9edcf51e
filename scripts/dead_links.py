"""Every link within a folder of HTML pages leads to a page and a place that is there. Argument: the folder. Exit status 1 when not."""

import sys
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urldefrag


class Page(HTMLParser):
    """links, places: what href and id say."""

    def __init__(self, text):
        super().__init__()
        self.links, self.places = set(), set()
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        said = dict(attrs)
        if tag == "a" and said.get("href"):
            self.links.add(said["href"])
        if said.get("id"):
            self.places.add(said["id"])


def dead_links(folder):
    pages = {path.resolve(): Page(path.read_text()) for path in Path(folder).rglob("*.html")}
    for path, page in pages.items():
        for link in sorted(page.links):
            name, place = urldefrag(link)
            target = (path.parent / unquote(name)).resolve() if name else path
            if ":" not in name and (target not in pages or place and unquote(place) not in pages[target].places):
                yield f"{path}: {link}"


if __name__ == "__main__":
    sys.exit("\n".join(dead_links(sys.argv[1])) or 0)
