"""The job that mails those who must act before a deadline: a dispute waits for its answer."""

import sqlalchemy as sa
from babel.dates import format_date

from donorportal import clock, letters
from donorportal.access.models import StaffMember
from donorportal.access.people import Role
from donorportal.config import Settings
from donorportal.giving.models import Gift
from donorportal.giving.returns.models import GiftTask
from donorportal.jobs.running import Run


def tell_of_task(run: Run, settings: Settings, *, task: int) -> None:
    """Queue one mail to each colleague who looks after the money."""
    with run.finishing() as session:
        found = session.get_one(GiftTask, task)
        if found.settled_at is not None or found.due_at is None:
            return
        locale = settings.organisation.locale
        due_on = clock.local_date(found.due_at, settings.organisation.time_zone)
        gift = session.get_one(Gift, found.gift_id)
        colleagues = session.execute(
            sa.select(StaffMember.id, StaffMember.email).where(
                StaffMember.role.in_([Role.OWNER, Role.FINANCE]),
                StaffMember.enrolled_at.is_not(None),
                StaffMember.disabled_at.is_(None),
            )
        )
        for staff_id, email in colleagues.all():
            letters.write(
                session,
                settings,
                "staff-dispute",
                address=email,
                key=f"gift-task:{task}:{staff_id}",
                context={
                    "amount_text": gift.amount.text(locale),
                    "task_text": found.text,
                    "due_text": format_date(due_on, "long", locale=locale),
                    "gift_url": f"{settings.public_url}/staff/gifts/{gift.id}",
                },
            )
