"""What a worker does: the tasks by name, the ones by the clock, and the process around them."""

import signal
import threading
from collections.abc import Callable, Sequence
from datetime import timedelta
from functools import partial
from types import FrameType
from typing import Any

import sqlalchemy as sa

from donorportal import letters
from donorportal.access import forgetting, mailing, signing_in, staff_accounts
from donorportal.config import Settings
from donorportal.db import db
from donorportal.giving import guarding
from donorportal.giving.partner import cards as left_cards
from donorportal.giving.partner import doing
from donorportal.giving.payouts import following, reading, settling
from donorportal.giving.reconcile import running as reconciling
from donorportal.giving.recovery import charges, telling, trying, watching
from donorportal.giving.returns import asking, finishing, tasks, warnings
from donorportal.giving.shield import declining, mailed_code
from donorportal.giving.shield import forgetting as attempts
from donorportal.giving.sweeping import finish_stale
from donorportal.jobs.models import Queue
from donorportal.jobs.periodic import Every, Periodic, prune
from donorportal.jobs.running import Task, drain
from donorportal.jobs.thread import EmbeddedWorker
from donorportal.mail.sending import send_message
from donorportal.mail.transport import SmtpTransport, Transport
from donorportal.payments.gateway import Gateway
from donorportal.staff.gifts.telling import tell_of_task
from donorportal.webhooks import sweeping
from donorportal.webhooks.handlers import process_event

_BY_THE_CLOCK = (
    Every(forgetting.FORGET_TASK, timedelta(days=1)),
    Every("giving.finish_stale", timedelta(hours=1)),
    Every(doing.FINISH_TASK, timedelta(minutes=2)),
    Every(attempts.FORGET_TASK, timedelta(days=1)),
    Every(finishing.SWEEP_TASK, timedelta(hours=1)),
    Every("jobs.prune", timedelta(days=1)),
    Every(following.FOLLOW_TASK, timedelta(hours=6)),
    Every(trying.FINISH_TASK, timedelta(minutes=5)),
    Every(watching.RECHECK_TASK, timedelta(days=1)),
    Every(watching.FIND_EXPIRING_TASK, timedelta(days=1)),
    Every(guarding.ROLL_TASK, timedelta(minutes=10)),
    Every(guarding.CHECK_RECENT_TASK, timedelta(minutes=10)),
    Every(guarding.CHECK_ALL_TASK, timedelta(days=1)),
    Every(reconciling.TASK, timedelta(days=1)),
    Every(sweeping.TASK, timedelta(hours=1)),
)


def build_tasks(settings: Settings, gateway: Gateway, transport: Transport) -> dict[str, Task]:
    """Return every task by the name under which work for it is queued."""
    mail: dict[str, Any] = {"settings": settings, "transport": transport}
    giving: dict[str, Any] = {"settings": settings, "gateway": gateway}
    return {
        forgetting.FORGET_TASK: forgetting.forget,
        staff_accounts.MAIL_TASK: partial(mailing.mail_invitation, **mail),
        signing_in.MAIL_TASK: partial(mailing.mail_sign_in, **mail),
        attempts.FORGET_TASK: attempts.forget,
        declining.CLOSE_TASK: partial(declining.close_page, gateway=gateway),
        mailed_code.MAIL_TASK: partial(mailed_code.mail_code, **mail),
        "giving.finish_stale": partial(finish_stale, **giving),
        doing.FINISH_TASK: partial(doing.finish_changes, **giving),
        left_cards.FINISH_TASK: partial(doing.finish_change, **giving),
        asking.FINISH_TASK: partial(finishing.finish_refund, **giving),
        warnings.ANSWER_TASK: finishing.answer_warning,
        finishing.SWEEP_TASK: finishing.sweep,
        tasks.TELL_TASK: partial(tell_of_task, settings=settings),
        "jobs.prune": prune,
        letters.SEND_TASK: partial(send_message, **mail),
        following.FOLLOW_TASK: partial(following.follow_up, **giving),
        settling.READ_TASK: partial(reading.read_lines, **giving),
        guarding.ROLL_TASK: guarding.roll_sums,
        guarding.CHECK_RECENT_TASK: partial(guarding.check_recent, settings=settings),
        guarding.CHECK_ALL_TASK: partial(guarding.check_all, settings=settings),
        charges.LOOK_TASK: partial(telling.look, **giving),
        charges.TELL_TASK: partial(telling.tell, **giving),
        charges.TELL_LAPSED_TASK: partial(telling.tell_lapsed, **giving),
        trying.FINISH_TASK: partial(trying.finish_tries, **giving),
        watching.RECHECK_TASK: partial(watching.recheck, **giving),
        watching.FIND_EXPIRING_TASK: watching.find_expiring,
        watching.WARN_TASK: partial(watching.warn_of_expiry, **giving),
        reconciling.TASK: partial(reconciling.by_the_clock, **giving),
        reconciling.REQUEST_TASK: partial(reconciling.on_request, **giving),
        reconciling.REPAIR_TASK: partial(reconciling.repair_one, **giving),
        sweeping.TASK: partial(sweeping.sweep, **giving),
        "webhooks.process": partial(process_event, **giving),
    }


def periodic(engine: sa.Engine) -> Periodic:
    """Return the work that comes with the clock."""
    return Periodic(engine, _BY_THE_CLOCK)


def waker(settings: Settings) -> Callable[[], None]:
    """Return what wakes workers in other processes; without a broker their sweep must do."""
    if settings.broker_url is None:
        return lambda: None
    from donorportal.jobs import celery_wake  # noqa: PLC0415 - celery is an optional extra

    return celery_wake.make_waker(settings.broker_url)


def run_worker(settings: Settings, queues: Sequence[str] = tuple(Queue)) -> None:
    """Do queued work until told to stop; the jobs in hand are finished first.

    With a broker this is a Celery worker of several processes, otherwise one process that looks
    at the rows every two seconds. Where there is much mail, a worker of its own for each queue
    keeps a slow relay from taking all of Celery's processes.
    """
    if settings.broker_url is None:
        _run_alone(settings, queues)
        return
    from donorportal.jobs import celery_wake  # noqa: PLC0415 - celery is an optional extra

    celery_wake.run_worker(settings.broker_url, partial(_prepare, settings), queues=queues)


def _run_alone(settings: Settings, queues: Sequence[str]) -> None:
    engine, tasks = _connect(settings)
    worker = EmbeddedWorker(engine, tasks, queues=queues, before_each=periodic(engine).enqueue_due)
    told_to_stop = threading.Event()

    def stop(_signal: int, _frame: FrameType | None) -> None:
        told_to_stop.set()

    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGINT, stop)
    worker.start()
    told_to_stop.wait()
    worker.stop()


def _prepare(settings: Settings) -> Callable[[str], None]:
    engine, tasks = _connect(settings)
    clockwork = periodic(engine)
    wake = waker(settings)

    def look(queue: str) -> None:
        clockwork.enqueue_due()
        drain(engine, tasks, queue=queue, wake=wake)

    return look


def _connect(settings: Settings) -> tuple[sa.Engine, dict[str, Task]]:
    from donorportal.app import create_app  # noqa: PLC0415 - it imports this module

    app = create_app(settings)
    with app.app_context():
        engine = db.engine
    return engine, build_tasks(settings, app.extensions["gateway"], SmtpTransport(settings))
