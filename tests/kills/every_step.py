"""Does one act again and again in processes of its own, each of which is killed one step later.

This is a program: it is given a database, the ports of a sandbox and the name of an act, and says
in JSON how many processes died, how many ended, and what was wrong in between. It has one thread
and forks, so that a death costs milliseconds instead of a start of the interpreter. A step is a
statement or a commit; what lies between two of them, such as a call to Stripe, is covered by both.
"""

import json
import os
import signal
import sys
from pathlib import Path
from typing import Any

import sqlalchemy as sa
import stripe

from donorportal.giving.models import Gift
from donorportal.giving.partner.models import Action
from donorportal.jobs.models import Job, JobState
from tests.machine import proving
from tests.machine.world import Act, World, opened
from tests.sandboxproc import SandboxProcess

_KEY = "5f0c7f0e-0c64-4a39-9f5c-6a1d6a8a1f10"
_MOST_STEPS = 400


def _gift(world: World) -> None:
    world.give(5000)
    _tell(world)


def _monthly(world: World) -> None:
    world.give(3000, monthly=True)
    _tell(world)


def _payout(world: World) -> None:
    _gift(world)
    world.refund(0, 30)
    world.pay_out()


def _tell(world: World) -> None:
    world.deliver_new()
    world.come_to_rest()


def _form(world: World) -> None:
    form = world.portal.form(key=_KEY, email="donor-1@example.org")
    assert world.portal.client().post("/give", data=form).status_code == 303


ACTS: dict[str, tuple[Act, Act]] = {
    "webhook": (lambda world: world.give(5000), World.work),
    "month": (lambda world: world.give(3000, monthly=True), World.work),
    "checkout": (lambda _world: None, _form),
    "refund": (_gift, lambda world: world.refund(0, 40, key=_KEY)),
    "change": (_monthly, lambda world: world.change(0, Action.AMOUNT, minor=4500, key=_KEY)),
    "pause": (_monthly, lambda world: world.change(0, Action.PAUSE, days=40, key=_KEY)),
    "payout": (_payout, World.work),
}
"""What happens before, of which nobody has told us where it is not told, and what is killed."""


def live(act: str, url: str, sandbox: SandboxProcess) -> dict[str, Any]:
    """Kill *act* at its first step, then at its second, until it gets to its end."""
    before, killed = ACTS[act]
    deaths, wrong = 0, []
    with opened(url, sandbox) as world:
        before(world)
        if killed is World.work:
            _store_events(world)
        for step in range(1, _MOST_STEPS):
            died = _in_a_process(world, killed, step)
            wrong += [f"after step {step}: {one}" for one in proving.always(world)]
            if not died:
                break
            deaths += 1
            _let_leases_end(world)
        _tell(world)
        wrong += [f"in the end: {one}" for one in proving.at_rest(world)]
        return {"act": act, "deaths": deaths, "wrong": wrong[:5], **_counts(world)}


def _in_a_process(world: World, act: Act, step: int) -> bool:
    """Do the act in a process that kills itself at a step; say whether it died of that."""
    # Connections must not be shared with the child.
    world.portal.engine.dispose()
    world.sandbox._http.close()
    pool: Any = world.gateway.real._client._requestor._client
    pool.close()
    child = os.fork()
    if child == 0:
        _die_at(world.portal.engine, act, step)
        status = 1
        try:
            act(world)
            status = 0
        finally:
            os._exit(status)
    _, ended = os.waitpid(child, 0)
    if os.WIFSIGNALED(ended):
        assert os.WTERMSIG(ended) == signal.SIGKILL
        return True
    assert os.WEXITSTATUS(ended) == 0, "the act failed by itself"
    return False


def _die_at(engine: sa.Engine, act: Act, step: int) -> None:
    left = step

    def count(*_: object) -> None:
        nonlocal left
        left -= 1
        if not left:
            os.kill(os.getpid(), signal.SIGKILL)

    sa.event.listen(engine, "before_cursor_execute", count)
    sa.event.listen(engine, "commit", count)
    if act is _form:
        # On PostgreSQL its statements are transactions of their own, without a commit to see.
        sa.event.listen(engine, "after_cursor_execute", count)


def _store_events(world: World) -> None:
    for event in world.portal.events():
        assert world.portal.send(event).status_code == 200
        world.portal.delivered.add(event["id"])


def _let_leases_end(world: World) -> None:
    """Let everything that a dead process held be free, as it is after a minute."""
    with world.portal.engine.begin() as connection:
        connection.execute(
            sa.update(Job)
            .where(Job.state == JobState.READY, Job.owner.is_not(None))
            .values(run_at=Job.created_at, owner=None, attempts=0)
        )


def _counts(world: World) -> dict[str, int]:
    stripes = world.stripes
    return {
        "pages": len(stripes.pages),
        "charges": len(stripes.charges),
        "refunds": len(stripes.refunds),
        "gifts": len(world.portal.scalars(sa.select(Gift.id))),
    }


def main() -> None:
    """Live through the acts that are named and print what came of each."""
    url, port, smtp_port, *acts = sys.argv[1:]
    for name in ("INITIAL_DELAY", "MAX_DELAY"):
        setattr(stripe.HTTPClient, name, 0.001)
    sandbox = SandboxProcess(Path("unused"))
    sandbox.port, sandbox.smtp_port = int(port), int(smtp_port)
    for act in acts:
        print("lived " + json.dumps(live(act, url, sandbox)), flush=True)  # noqa: T201 - its answer


if __name__ == "__main__":
    main()
