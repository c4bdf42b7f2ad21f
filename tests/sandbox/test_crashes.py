"""The sandbox under a kill -9 in the middle of things, and under many hands at once."""

import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import requests

from tests.sandbox.conftest import client_of
from tests.sandbox.lives import give_monthly
from tests.sandboxproc import SandboxProcess
from tests.stripeparams import open_session


def test_a_crash_leaves_whole_payments(own_sandbox: SandboxProcess) -> None:
    """Killed while donors pay: afterwards each session has exactly one charge, or none."""
    client = client_of(own_sandbox)
    sessions = [open_session(client) for _ in range(24)]
    begun = threading.Event()

    def pay(url: str) -> None:
        try:
            own_sandbox.pay(url)
        except requests.RequestException:
            return
        finally:
            begun.set()

    with ThreadPoolExecutor(4) as donors:
        for session in sessions:
            assert session.url is not None
            donors.submit(pay, session.url)
        begun.wait(20)
        own_sandbox.kill()
    own_sandbox.restart()

    charges = client.v1.charges.list({"limit": 100}).data
    completed = own_sandbox.events("checkout.session.completed")
    for session in sessions:
        now = client.v1.checkout.sessions.retrieve(session.id)
        paid = [c for c in charges if c.payment_intent == now.payment_intent]
        told = [e for e in completed if e["data"]["object"]["id"] == session.id]
        assert (now.status, len(paid), len(told)) in {("complete", 1, 1), ("open", 0, 0)}
    assert len(charges) == len(completed)


def test_a_crash_while_time_passes(own_sandbox: SandboxProcess) -> None:
    """Killed during an advance and advanced again, each month is charged once."""
    client = client_of(own_sandbox)
    subscriptions = [give_monthly(own_sandbox, client) for _ in range(5)]
    target = int(subscriptions[0].created) + 100 * 86_400

    def advance() -> None:
        try:
            requests.post(f"{own_sandbox.url}/_sandbox/advance", json={"to": target}, timeout=60)
        except requests.RequestException:
            return

    thread = threading.Thread(target=advance)
    thread.start()
    while len(own_sandbox.events("invoice.paid")) < 8:
        pass
    own_sandbox.kill()
    thread.join()
    own_sandbox.restart()
    own_sandbox.advance(to=target)

    paid = own_sandbox.events("invoice.paid")
    count = Counter(
        e["data"]["object"]["parent"]["subscription_details"]["subscription"] for e in paid
    )
    assert count == dict.fromkeys((s.id for s in subscriptions), 4)


def test_two_hands_on_one_button(own_sandbox: SandboxProcess) -> None:
    """Eight presses of one page's button at once charge once."""
    client = client_of(own_sandbox)
    session = open_session(client)
    url = session.url
    assert url is not None
    form = {"email": "a@example.org", "number": "4242424242424242", "expiry": "12/34"}

    def press(_: int) -> int:
        return requests.post(url, data=form, allow_redirects=False, timeout=30).status_code

    with ThreadPoolExecutor(8) as hands:
        answers = sorted(hands.map(press, range(8)))

    assert answers == [303] + [410] * 7
    assert len(client.v1.charges.list().data) == 1
