"""What signing in leaves behind, deleted once it is of no use."""

from datetime import timedelta

import sqlalchemy as sa

from donorportal import clock
from donorportal.access.models import SignIn
from donorportal.jobs.running import Run
from donorportal.limits import counting

FORGET_TASK = "access.forget"

_REQUESTS_KEPT_FOR = timedelta(days=2)
# Longer than the longest window that attempts are counted in, which is a week.
_COUNTS_KEPT_FOR = timedelta(days=8)


def forget(run: Run) -> None:
    """Delete old requests to sign in, which name people, and old counts of attempts."""
    with run.finishing() as session:
        session.execute(
            sa.delete(SignIn)
            .where(SignIn.expires_at < clock.now() - _REQUESTS_KEPT_FOR)
            .execution_options(synchronize_session=False)
        )
        counting.forget_old(session, older_than=_COUNTS_KEPT_FOR)
