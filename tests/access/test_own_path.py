"""Where somebody may be sent after signing in: to a path of this site and nowhere else."""

from urllib.parse import urljoin, urlsplit

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from donorportal.access.permissions import own_path

_SITE = "https://give.example.org"
_TRICKY = st.text(alphabet="/\\:.@?#%&=evilhttpsjava \t\n\r\x00\u2028\uff0f", max_size=20)


@given(target=_TRICKY | st.text(max_size=40))
@example("//evil.example")
@example("/\\evil.example")
@example("/\t/evil.example")
@example("https:evil.example")
def test_no_target_leads_to_another_site(target: str) -> None:
    """Whatever is let through stays on this site when a browser follows it."""
    allowed = own_path(target)

    if allowed is not None:
        # Browsers drop tabs and line ends, and read a backslash as a slash.
        as_browsers_read = "".join(c for c in allowed if c not in "\t\r\n").replace("\\", "/")
        assert urlsplit(urljoin(_SITE, as_browsers_read)).netloc == "give.example.org"


@pytest.mark.parametrize("target", ["/portal/", "/portal/gifts?year=2025&after=1", "/staff/inbox"])
def test_our_own_paths_are_let_through(target: str) -> None:
    """Pages of this site are kept, with what stands in their address."""
    assert own_path(target) == target
