"""Static files are named by their content and travel small."""

import gzip
import re
from pathlib import Path

from donorportal.assets import Assets


def test_an_address_leads_to_its_content_and_to_no_other() -> None:
    """The hash in an address must be the file's own, or nothing is found."""
    assets = Assets()
    _, _, digest, name = assets.url("site.css").split("/", 3)

    found = assets.find(digest, name)

    assert found is not None
    assert found.content_type == "text/css; charset=utf-8"
    assert assets.find("0" * len(digest), name) is None
    assert assets.find(digest, "other.css") is None


def test_new_content_gets_a_new_address(tmp_path: Path) -> None:
    """A file that changed is never taken from a cache, not even through a stylesheet."""
    (tmp_path / "font").mkdir()
    font, sheet = tmp_path / "font" / "a.woff2", tmp_path / "site.css"
    sheet.write_text('@font-face { src: url("font/a.woff2"); }')
    font.write_bytes(b"one")
    before = Assets(tmp_path)
    font.write_bytes(b"two")

    after = Assets(tmp_path)

    assert before.url("font/a.woff2") != after.url("font/a.woff2")
    assert before.url("site.css") != after.url("site.css")


def test_the_stylesheet_finds_its_font() -> None:
    """What the stylesheet refers to is the address that pages preload."""
    assets = Assets()
    address = assets.url("site.css")
    sheet = assets.find(*address.removeprefix("/static/").split("/", 1))
    assert sheet is not None

    references = re.findall(rb'url\("([^"]+)"\)', sheet.content)

    assert [assets.url("font/lantern-serif.woff2")] == [
        reference.decode().replace("../", "/static/") for reference in references
    ]


def test_text_travels_compressed_and_fonts_as_they_are() -> None:
    """The stylesheet fits into 7 kB on the wire, the font into 20 kB."""
    assets = Assets()
    sheet, font = (
        assets.find(*assets.url(name).removeprefix("/static/").split("/", 1))
        for name in ("site.css", "font/lantern-serif.woff2")
    )
    assert sheet is not None
    assert font is not None

    assert sheet.gzip_content is not None
    assert gzip.decompress(sheet.gzip_content) == sheet.content
    assert len(sheet.gzip_content) <= 7 * 1024
    assert font.gzip_content is None
    assert len(font.content) <= 20 * 1024
