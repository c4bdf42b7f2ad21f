"""The static files: read once at start, named by their content, compressed in advance.

A page asks for the address of a file and gets one that contains a hash of the content. Such an
address never changes its meaning, so browsers may keep the answer for a year without asking.
"""

import gzip
import hashlib
import mimetypes
import re
from dataclasses import dataclass
from pathlib import Path

_FOLDER = Path(__file__).parent / "static"
_HASH_LENGTH = 12
_CSS_REFERENCE = re.compile(rb'url\("([^":]+)"\)')
# The types we ship; the machine's own table differs from one system to the next.
_TYPES = {
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
    ".txt": "text/plain; charset=utf-8",
    ".woff2": "font/woff2",
}
_ALREADY_COMPRESSED = frozenset({".woff2", ".png", ".jpg", ".webp", ".avif"})


@dataclass(frozen=True, slots=True)
class StaticFile:
    """One file as it goes over the wire; `gzip_content` is None where gzip would gain nothing."""

    content: bytes
    gzip_content: bytes | None
    content_type: str
    etag: str


class Assets:
    """Every file below *folder*, held in memory and found by name and content hash."""

    def __init__(self, folder: Path = _FOLDER) -> None:
        self._files: dict[str, StaticFile] = {}
        paths = sorted(path for path in folder.rglob("*") if path.is_file())
        # Stylesheets last: their hash covers the addresses of the files they refer to.
        for path in sorted(paths, key=lambda path: path.suffix == ".css"):
            content = path.read_bytes()
            if path.suffix == ".css":
                content = _CSS_REFERENCE.sub(self._relative_address, content)
            self._files[path.relative_to(folder).as_posix()] = _static_file(path, content)

    def url(self, name: str) -> str:
        """Return the address of the file *name*, for ever the same content. Raises KeyError."""
        return f"/static/{self._files[name].etag}/{name}"

    def find(self, digest: str, name: str) -> StaticFile | None:
        """Return the file *name* if its content has that *digest*, else None."""
        file = self._files.get(name)
        return file if file is not None and file.etag == digest else None

    def _relative_address(self, match: re.Match[bytes]) -> bytes:
        # Relative, so that the site also works below a path prefix.
        name = match[1].decode()
        return f'url("../{self._files[name].etag}/{name}")'.encode()


def _static_file(path: Path, content: bytes) -> StaticFile:
    packed = None
    if path.suffix not in _ALREADY_COMPRESSED:
        packed = gzip.compress(content, mtime=0)
    return StaticFile(
        content=content,
        gzip_content=packed,
        content_type=_TYPES.get(path.suffix)
        or mimetypes.guess_type(path.name)[0]
        or "application/octet-stream",
        etag=hashlib.sha256(content).hexdigest()[:_HASH_LENGTH],
    )
