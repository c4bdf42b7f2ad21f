"""Every change of a monthly gift: done once, whatever happens on the way, on both databases."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from uuid import UUID, uuid4

import pytest
import sqlalchemy as sa
from sqlalchemy.orm import Session

from donorportal import clock
from donorportal.db import reading_session, writing_session
from donorportal.giving.models import Gift, RecurringStatus
from donorportal.giving.partner import asking, doing, questions, reading
from donorportal.giving.partner.doing import FINISH_TASK
from donorportal.giving.partner.models import Action
from donorportal.jobs.queueing import enqueue
from tests.partner.walking import ANSWERS, Partner, fields_of, signed_in, words_of
from tests.portal_in_process import hidden

# Resuming needs a pause first, and has a test of its own.
_ACTIONS = [action for action in ANSWERS if action != Action.RESUME]
_AT_STRIPE = [action for action in _ACTIONS if action != Action.DESIGNATION]
# The first try and the two that the SDK makes by itself.
_TRIES = 3
ONE_DATABASE = pytest.mark.parametrize("engine_url", ["sqlite"], indirect=True)


class Crash(Exception):  # noqa: N818 - named for what happened
    """The process dies here."""


def is_so(partner: Partner, action: Action) -> bool:
    """Say whether Stripe and our books both have it as the donor wanted."""
    remote, gift = partner.remote, partner.gift
    pause = remote["pause_collection"]
    facts: dict[Action, tuple[bool, bool]] = {
        Action.AMOUNT: (
            remote["items"]["data"][0]["price"]["unit_amount"] == 4500,
            gift.amount_minor == 4500,
        ),
        Action.DESIGNATION: (True, gift.designation_code == "rescue"),
        Action.DAY: (
            remote["status"] == "trialing",
            gift.next_on is not None and gift.next_on.day == 5,
        ),
        Action.SKIP: (pause is not None, gift.status == RecurringStatus.PAUSED),
        Action.PAUSE: (pause is not None, gift.status == RecurringStatus.PAUSED),
        Action.END: (remote["status"] == "canceled", gift.status == RecurringStatus.ENDED),
        Action.ONCE: (remote["status"] == "canceled", gift.status == RecurringStatus.ENDED),
    }
    return facts[action] == (True, True)


@pytest.mark.parametrize("action", _ACTIONS)
def test_a_change_is_shown_and_then_made_once(partner: Partner, action: Action) -> None:
    """What will happen is said first; sent twice, the form makes one change, one mail, one line."""
    form = partner.form(action)
    charged_before = len(partner.portal.sandbox.listed("charges"))
    answers = [partner.confirm(action, form) for _ in range(2)]

    assert [answer.status_code for answer in answers] == [303, 303]
    assert answers[0].location == answers[1].location
    assert is_so(partner, action)
    assert partner.changes() == [(action, "done")]
    assert partner.told() == [action]
    assert partner.acts() == [(f"donor:{partner.gift.donor_id}", f"monthly gift: {action}")]
    assert len(partner.confirmations()) == 1
    assert len(partner.portal.sandbox.listed("charges")) == charged_before


@pytest.mark.parametrize("action", _ACTIONS)
def test_a_crash_after_the_call_is_finished_by_the_job(partner: Partner, action: Action) -> None:
    """Stripe did it, we died before our books knew: the job ends it, once."""
    asked = ask(partner, action)
    opened = iter([False])

    @contextmanager
    def dying() -> Iterator[Session]:
        for _ in opened:
            raise Crash
        with writing_session(partner.portal.engine) as session:
            yield session

    with pytest.raises(Crash):
        doing.do(dying, partner.portal.gateway, asked, partner.portal.settings)
    partner.age(minutes=2)
    for _ in range(2):
        finish_changes(partner)

    assert is_so(partner, action)
    assert partner.changes() == [(action, "done")]
    assert partner.told() == [action]
    assert len(partner.confirmations()) == 1


@pytest.mark.parametrize("action", _AT_STRIPE)
@pytest.mark.parametrize(
    ("engine_url", "kind"),
    [("sqlite", "500_after"), ("postgres", "timeout_before")],
    indirect=["engine_url"],
)
def test_without_an_answer_the_wish_is_kept_and_done_later(
    partner: Partner, action: Action, kind: str
) -> None:
    """Stripe does not answer: the donor is told that we keep asking, and a job makes it so."""
    form = partner.form(action)
    method = "DELETE" if action in {Action.END, Action.ONCE} else "POST"
    fault = {"method": method, "path": "/v1/subscriptions", "count": _TRIES, "seconds": 0.05}
    partner.portal.sandbox.fault(kind, **fault)
    answer = partner.confirm(action, form)
    told = words_of(partner.client.get(answer.location).text)
    asked = partner.changes()
    partner.portal.sandbox.knobs(faults=[])
    partner.age(minutes=2)
    finish_changes(partner)

    # Ending what has ended is an answer, so that nothing stays open.
    if asked != [(action, "done")]:
        assert asked == [(action, "asked")]
        assert "has not confirmed this yet" in told
    assert is_so(partner, action)
    assert partner.changes() == [(action, "done")]
    assert len(partner.confirmations()) == 1


@ONE_DATABASE
@pytest.mark.parametrize("action", _ACTIONS)
def test_what_ended_meanwhile_is_not_changed(partner: Partner, action: Action) -> None:
    """Ended at Stripe while the page was open: nothing is changed, and the page says how it is."""
    form = partner.form(action)
    remote_id = partner.gift.remote_id or ""
    partner.portal.gateway.monthly.end(remote_id, reason=None, comment="")
    answer = partner.confirm(action, form)
    if answer.status_code == 303:
        partner.client.get(answer.location)
    partner.portal.send_all()

    assert partner.gift.status == RecurringStatus.ENDED
    assert partner.gift.amount_minor == 3000
    expected = "done" if action in {Action.END, Action.ONCE} else "refused"
    assert partner.changes() in ([(action, expected)], [])
    assert (len(partner.confirmations()) == 1) == (partner.changes() == [(action, "done")])


@ONE_DATABASE
def test_a_pause_can_be_ended(partner: Partner) -> None:
    """A pause leaves out what falls into it, and ends at once when the donor says so."""
    paused = words_of(partner.change(Action.PAUSE))
    while_paused = partner.gift
    resumed = words_of(partner.change(Action.RESUME))
    partner.portal.sandbox.advance(days=32)
    partner.portal.send_all()

    assert "Your monthly gift is paused until" in paused
    assert paused.count("left out") == 3
    assert while_paused.status == RecurringStatus.PAUSED
    assert "Your monthly gift goes on" in resumed
    assert partner.gift.status == RecurringStatus.ACTIVE
    assert partner.portal.scalars(sa.select(Gift.amount_minor)) == [3000, 3000]


@ONE_DATABASE
def test_a_skipped_month_is_not_charged_and_the_next_one_is(partner: Partner) -> None:
    """One month is left out, the donor reads so afterwards, and it goes on by itself."""
    partner.change(Action.SKIP)
    partner.portal.sandbox.advance(days=33)
    partner.portal.send_all()
    after_one = partner.portal.scalars(sa.select(Gift.amount_minor))
    page = words_of(partner.home)
    partner.portal.sandbox.advance(days=31)
    partner.portal.send_all()

    assert after_one == [3000]
    assert "Active" in page
    assert "was left out" in page
    assert partner.portal.scalars(sa.select(Gift.amount_minor)) == [3000, 3000]


def test_a_changed_amount_is_charged_from_the_next_month_on(partner: Partner) -> None:
    """Before and after are shown, nothing is charged today, and the next renewal books the new."""
    shown = words_of(partner.look(Action.AMOUNT, amount="45").text)
    told = words_of(partner.change(Action.AMOUNT))
    partner.portal.sandbox.advance(days=32)
    partner.portal.send_all()

    assert "$45 instead of $30" in shown
    assert "Nothing is charged today" in shown
    assert shown.count("$45") >= 5  # The sentence, three charges, the button.
    assert "Your monthly gift is now $45" in told
    assert "You changed the amount from $30 to $45." in told
    assert partner.portal.scalars(sa.select(Gift.amount_minor).order_by(Gift.id)) == [3000, 4500]


@ONE_DATABASE
def test_another_purpose_holds_for_the_gifts_to_come(partner: Partner) -> None:
    """The gift that was given stays what it was for; the next one is for the new purpose."""
    partner.change(Action.DESIGNATION)
    partner.portal.sandbox.advance(days=32)
    partner.portal.send_all()

    codes = partner.portal.scalars(sa.select(Gift.designation_code).order_by(Gift.id))
    assert codes == ["where-needed-most", "rescue"]


def test_e2_a_charge_on_its_way_stays_as_it_was(partner: Partner) -> None:
    """E2: drawn up within the hour, this month's charge keeps its amount, and the page says so."""
    draw_up_the_next_charge(partner)
    shown = words_of(partner.look(Action.AMOUNT, amount="45").text)
    partner.change(Action.AMOUNT)
    partner.portal.sandbox.advance(seconds=7200)
    partner.portal.send_all()
    partner.portal.sandbox.advance(days=32)
    partner.portal.send_all()

    assert "This month's gift of $30 is on its way already and stays as it was." in shown
    amounts = partner.portal.scalars(sa.select(Gift.amount_minor).order_by(Gift.received_at))
    assert amounts == [3000, 3000, 4500]


@pytest.mark.parametrize("action", [Action.AMOUNT, Action.SKIP, Action.DAY])
def test_e2_a_renewal_between_looking_and_confirming_shows_the_page_again(
    partner: Partner, action: Action
) -> None:
    """E2: what was confirmed is no longer what would happen, so that nothing happens yet."""
    form = partner.form(action)
    draw_up_the_next_charge(partner)
    again = partner.confirm(action, form)
    answer = partner.confirm(action, fields_of(again.text))

    assert again.status_code == 409
    assert "Please look once more" in again.text
    assert answer.status_code == 303
    assert partner.changes() == [(action, "done")]


def test_e3_stopping_twice_is_stopping_once(partner: Partner) -> None:
    """E3: what has ended is ended; its pages lead back and say so, and nothing more is charged."""
    told = words_of(partner.change(Action.END))
    looked = [partner.look(action) for action in Action]
    again = partner.confirm(Action.END, {"csrf_token": csrf(partner), "key": str(uuid4())})
    page = words_of(partner.client.get(again.location).text)
    partner.portal.sandbox.advance(days=70)
    partner.portal.send_all()

    assert "Your monthly gift has stopped" in told
    assert {answer.location for answer in (*looked, again)} == {
        f"/portal/partner?gift={partner.gift.id}&state=ended"
    }
    assert "had ended already" in page
    assert partner.portal.scalars(sa.select(Gift.amount_minor)) == [3000]


@ONE_DATABASE
def test_why_somebody_stops_is_kept_and_never_asked_for_twice(partner: Partner) -> None:
    """A reason and a word are optional; they reach Stripe's report and our audit trail."""
    form = partner.form(Action.END) | {"reason": "money", "comment": "  new   roof "}
    partner.confirm(Action.END, form)

    details = partner.remote["cancellation_details"]
    assert (details["feedback"], details["comment"]) == ("too_expensive", "new roof")


@ONE_DATABASE
def test_a_stopped_gift_is_not_charged_for_the_month_that_failed(partner: Partner) -> None:
    """Stopping ends the bank's retries too: the open charge is void."""
    fail_the_next_charge(partner)
    shown = words_of(partner.look(Action.END).text)
    partner.change(Action.END)
    partner.portal.sandbox.advance(days=30)
    partner.portal.send_all()

    assert "is not tried again" in shown
    states = sorted(invoice["status"] for invoice in partner.portal.sandbox.listed("invoices"))
    assert states == ["paid", "void"]
    assert partner.portal.scalars(sa.select(Gift.amount_minor)) == [3000]


@ONE_DATABASE
def test_a_pause_drops_the_charge_that_failed(partner: Partner) -> None:
    """Who cannot pay now is not asked again in the middle of the pause."""
    fail_the_next_charge(partner)
    (until, *_others) = partner.choices(Action.PAUSE)
    shown = words_of(partner.look(Action.PAUSE, until=until).text)
    partner.change(Action.PAUSE)
    partner.portal.send_all()

    assert "did not pay is dropped" in shown
    assert partner.gift.status == RecurringStatus.PAUSED
    assert partner.portal.sandbox.listed("invoices?status=open") == []


def test_stopping_overtakes_what_is_under_way(partner: Partner) -> None:
    """A wish that Stripe has not answered holds nobody back who wants to stop."""
    ask(partner, Action.AMOUNT)
    partner.change(Action.END)
    partner.age(minutes=2)
    finish_changes(partner)

    assert partner.changes() == [(Action.AMOUNT, "refused"), (Action.END, "done")]
    assert is_so(partner, Action.END)


def test_an_unanswered_wish_is_finished_before_the_next(partner: Partner) -> None:
    """Two wishes never reach Stripe at once: the earlier one is finished first."""
    ask(partner, Action.AMOUNT)
    partner.change(Action.DESIGNATION)

    assert partner.changes() == [(Action.AMOUNT, "done"), (Action.DESIGNATION, "done")]


def test_a_wish_is_given_up_after_a_day_and_the_donor_is_told(partner: Partner) -> None:
    """Stripe forgets its keys after a day; what it shows then decides, and a mail says so."""
    ask(partner, Action.AMOUNT)
    partner.age(minutes=24 * 60)
    finish_changes(partner)

    assert partner.changes() == [(Action.AMOUNT, "refused")]
    assert partner.gift.amount_minor == 3000
    assert partner.confirmations() == ["Your monthly gift was not changed"]


@pytest.mark.parametrize("action", [Action.AMOUNT, Action.END])
def test_two_clicks_at_once_are_one_act(partner: Partner, action: Action) -> None:
    """The same form sent from two places at the same moment ends in one change."""
    form = partner.form(action)
    clients = [signed_in(partner.portal, partner.gift.donor_id) for _ in range(2)]
    forms = [form | {"csrf_token": csrf(Partner(partner.portal, one))} for one in clients]
    with ThreadPoolExecutor(2) as pool:
        path = partner.path(action)
        answers = list(pool.map(lambda c, f: c.post(path, data=f), clients, forms))

    assert {answer.status_code for answer in answers} <= {303, 409}
    assert partner.changes() == [(action, "done")]
    assert len(partner.confirmations()) == 1


@ONE_DATABASE
def test_an_old_confirmation_does_not_undo_a_later_one(partner: Partner) -> None:
    """A form from the browser's history changes nothing any more."""
    form = partner.form(Action.AMOUNT)
    partner.confirm(Action.AMOUNT, form)
    partner.change(Action.AMOUNT, amount="60")
    old = partner.confirm(Action.AMOUNT, form)
    page = words_of(partner.client.get(old.location).text)

    assert partner.gift.amount_minor == 6000
    assert "is now $45" not in page


@pytest.mark.parametrize(
    ("action", "answer", "message"),
    [
        (Action.AMOUNT, {"amount": "1"}, "The smallest gift we can take online is $2."),
        (Action.AMOUNT, {"amount": ""}, "Please enter an amount."),
        (Action.AMOUNT, {"amount": "10,00"}, "We are not sure which amount you mean"),
        (Action.AMOUNT, {"amount": "30"}, "Your monthly gift is $30 already."),
        (Action.DESIGNATION, {"designation": "yacht"}, "Please choose one of these."),
        (Action.DESIGNATION, {"designation": "where-needed-most"}, "for this already"),
        (Action.DAY, {"day": "31"}, "Please choose a day from 1 to 28."),
        (Action.DAY, {"day": "٣"}, "Please choose a day from 1 to 28."),
        (Action.PAUSE, {"until": "2019-01-01"}, "Please choose one of these days."),
    ],
)
@ONE_DATABASE
def test_what_cannot_be_is_refused_with_the_reason(
    partner: Partner, action: Action, answer: dict[str, str], message: str
) -> None:
    """Asked for or confirmed, it is refused, and Stripe is not asked to change anything."""
    asked = partner.look(action, **answer)
    confirmed = partner.confirm(action, {"csrf_token": csrf(partner), **answer})

    assert [asked.status_code, confirmed.status_code] == [422, 422]
    assert message in words_of(asked.text)
    assert message in words_of(confirmed.text)
    assert partner.portal.sandbox.requests("POST", "/v1/subscriptions") == []


@ONE_DATABASE
def test_e3_only_ones_own_monthly_gift_is_found(partner: Partner) -> None:
    """E3: somebody else's gift is not found, read or written, like one that does not exist."""
    partner.portal.give(email="umber.tagus@example.org")
    partner.portal.send_all()
    theirs = sa.select(Gift.donor_id).where(Gift.recurring_gift_id.is_(None))
    (stranger_id,) = partner.portal.scalars(theirs)
    stranger = Partner(partner.portal, signed_in(partner.portal, stranger_id))
    form = {"csrf_token": csrf(stranger)}
    paths = [stranger.path(action) for action in Action]
    paths += [f"/portal/partner/{10**20}/{action}" for action in Action]
    posted = {stranger.client.post(path, data=form).status_code for path in paths}
    looked = {stranger.client.get(path).status_code for path in paths}

    assert ({404}, {404}) == (posted, looked)
    assert "$30" not in stranger.client.get(f"/portal/partner?gift={partner.gift.id}").text
    assert partner.changes() == []


@ONE_DATABASE
def test_when_stripe_is_down_the_page_says_so(partner: Partner) -> None:
    """Without Stripe nothing can be shown, nothing is changed, and stopping still gets noted."""
    partner.portal.sandbox.fault("500_before", path="/v1/", count=1000)
    amount = partner.look(Action.AMOUNT, amount="45")
    home = words_of(partner.home)
    stopped = partner.change(Action.END)
    partner.portal.sandbox.knobs(faults=[])
    partner.age(minutes=2)
    finish_changes(partner)

    assert amount.status_code == 503
    assert "Nothing was changed, and nothing was charged." in words_of(amount.text)
    assert f"Next charge {partner.gift.next_on}" not in home
    assert "Next charge" in home
    assert "has not confirmed this yet" in words_of(stopped)
    assert partner.changes() == [(Action.END, "done")]


@ONE_DATABASE
def test_the_amount_includes_what_covered_the_fee(partner: Partner) -> None:
    """Who covered the card fee is told that the new amount is all that will be charged."""
    with partner.portal.engine.begin() as connection:
        connection.execute(sa.text("UPDATE recurring_gift SET fee_cover_minor = 110"))
    shown = words_of(partner.look(Action.AMOUNT, amount="45").text)
    partner.change(Action.AMOUNT)

    assert "include $1.10 that you added for the card fee" in shown
    assert (partner.gift.amount_minor, partner.gift.fee_cover_minor) == (4500, 0)


@ONE_DATABASE
def test_a_form_from_elsewhere_changes_nothing(partner: Partner) -> None:
    """Without the token of this session's own page, nothing happens."""
    answers = [partner.client.post(partner.path(action), data={}) for action in Action]

    assert {answer.status_code for answer in answers} == {403}
    assert partner.changes() == []


@ONE_DATABASE
def test_the_history_tells_what_was_changed_at_stripe(partner: Partner) -> None:
    """E12: what somebody changed in Stripe's dashboard is adopted, and the donor reads it."""
    remote_id = partner.gift.remote_id or ""
    monthly = partner.portal.gateway.monthly
    monthly.change_amount(remote_id, partner.gift.amount + partner.gift.amount, key=str(uuid4()))
    partner.portal.send_all()
    monthly.end(remote_id, reason=None, comment="")
    partner.portal.send_all()

    page = words_of(partner.home)
    assert "The amount was changed to $60." in page
    assert "Your monthly gift ended." in page
    assert partner.confirmations() == []


def ask(partner: Partner, action: Action) -> asking.Change:
    """Store a wish as the form does, and go no further: Stripe is not asked."""
    form, organisation = partner.form(action), partner.portal.settings.organisation
    engine = partner.portal.engine
    with reading_session(engine) as session:
        gift = reading.find(session, partner.gift.id, partner.portal.settings)
        gifts = reading.charged_by(session, partner.gift.id)
    assert gift is not None
    answers = questions.Answers(
        gift=gift,
        fields=form,
        upcoming=partner.portal.gateway.monthly.upcoming(gift.remote_id),
        gifts=gifts,
        offers=partner.portal.app.extensions["catalogue"].offers(engine).designations,
        organisation=organisation,
        today=clock.local_date(clock.now(), organisation.time_zone),
    )
    wish = questions.read(action, answers)
    assert wish is not None
    with writing_session(engine) as session:
        actor = f"donor:{gift.donor_id}"
        return asking.ask(session, gift.row_id, wish, key=UUID(form["key"]), actor=actor)


def finish_changes(partner: Partner) -> None:
    """Let the clockwork look for what was left half-way."""
    with writing_session(partner.portal.engine) as session:
        enqueue(session, FINISH_TASK, key=str(uuid4()))
    partner.portal.work()


def draw_up_the_next_charge(partner: Partner) -> None:
    """Let the next month begin, a minute ago: its charge is drawn up and not tried yet."""
    end = partner.remote["items"]["data"][0]["current_period_end"]
    partner.portal.sandbox.advance(to=end + 60)


def fail_the_next_charge(partner: Partner) -> None:
    """Let the bank refuse the next month's charge."""
    partner.portal.sandbox.knobs(next_card="insufficient_funds")
    partner.portal.sandbox.advance(days=32)
    partner.portal.send_all()
    assert partner.gift.status == RecurringStatus.PAST_DUE


def csrf(partner: Partner) -> str:
    """Return the token that this browser's forms carry."""
    return hidden(partner.home, "csrf_token")
