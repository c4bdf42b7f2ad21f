"""The three pages of signing in by e-mail, the same for donors and for staff.

Asking for a code, typing it, and following its link. What happens when the code is good is up to
the door: a donor is signed in, a staff member still needs the second factor.
"""

import secrets
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta

from flask import redirect, render_template, request, session, url_for
from flask.typing import ResponseReturnValue
from werkzeug.wrappers import Response

from donorportal.access import signing_in
from donorportal.access.people import Person, Realm
from donorportal.access.permissions import own_path
from donorportal.access.sessions import cookie_name
from donorportal.access.signing_in import Answer, Outcome, TooManySignIns
from donorportal.current import settings
from donorportal.db import db, unit_of_work
from donorportal.donors.addresses import AddressRefused, parse_email

_SECRET_BYTES = 32
# Longer than any code, so that a late one is called late and not foreign.
_BROWSER_KNOWN_FOR = timedelta(days=1)

_CODE_REFUSED = {
    Outcome.WRONG: (422, "That is not the code we sent. Please look at the newest message."),
    Outcome.USED: (410, "This code was already used. Please ask for a new one."),
    Outcome.EXPIRED: (410, "This code has expired: it worked for ten minutes. Ask for a new one."),
    Outcome.TOO_MANY_TRIES: (429, "Too many wrong codes. Please ask for a new one."),
    Outcome.OTHER_BROWSER: (422, "This browser did not ask for a code. Please ask for one here."),
}
_LINK_REFUSED = {
    Outcome.WRONG: (404, "This link is not complete. Open it from the message, or ask again."),
    Outcome.USED: (410, "This link was already used. Please ask for a new one."),
    Outcome.EXPIRED: (410, "This link has expired: it worked for ten minutes. Ask for a new one."),
}


@dataclass(frozen=True, slots=True)
class Door:
    """One way in; its blueprint has the endpoints ``sign_in``, ``code`` and ``link``."""

    realm: Realm
    blueprint: str
    enter: Callable[[Person], ResponseReturnValue]
    """Answers whoever brought a good code or link."""

    def ask(self) -> ResponseReturnValue:
        """Show the form that asks for a code, and take it."""
        if request.method != "POST":
            return self._ask_page("", own_path(request.args.get("next")))
        typed, target = request.form.get("email", ""), own_path(request.form.get("next"))
        secret = self._browser_secret() or secrets.token_urlsafe(_SECRET_BYTES)
        try:
            address = parse_email(typed)
            with unit_of_work() as work:
                signing_in.request_code(
                    work,
                    settings(),
                    realm=self.realm,
                    address=address,
                    browser_secret=secret,
                    remote=request.remote_addr or "",
                )
        except AddressRefused as refused:
            return self._ask_page(typed, target, str(refused)), 422
        except TooManySignIns as refused:
            return self._ask_page(typed, target, str(refused)), 429
        session[self._asked_key] = {"email": address.email, "next": target}
        answer = redirect(url_for(f"{self.blueprint}.code"), code=303)
        self._remember_browser(answer, secret)
        return answer

    def type_code(self) -> ResponseReturnValue:
        """Show the form for the code, and take it."""
        asked = session.get(self._asked_key)
        if asked is None:
            return redirect(url_for(f"{self.blueprint}.sign_in"), code=303)
        if request.method != "POST":
            return self._code_page(asked["email"])
        with unit_of_work() as work:
            answer = signing_in.use_code(
                work,
                settings(),
                realm=self.realm,
                typed=request.form.get("code", ""),
                browser_secret=self._browser_secret(),
            )
        if answer.person is not None:
            return self.enter(answer.person)
        status, message = _CODE_REFUSED[answer.outcome]
        return self._code_page(asked["email"], message), status

    def follow_link(self, token: str) -> ResponseReturnValue:
        """Show what a link leads to; only the button on that page uses it up."""
        answer = self._answer_to(token)
        if answer.person is not None:
            return self.enter(answer.person)
        if answer.outcome in _LINK_REFUSED:
            status, message = _LINK_REFUSED[answer.outcome]
            return self._ask_page("", None, message), status
        elsewhere = answer.outcome == Outcome.OTHER_BROWSER
        page = self._page("access/link.html", wrong_browser=elsewhere)
        return page, 403 if elsewhere else 200

    def target(self) -> str | None:
        """Return the page that somebody wanted before they were sent to this door."""
        asked = session.get(self._asked_key)
        return None if asked is None else own_path(asked["next"])

    def _answer_to(self, token: str) -> Answer:
        if request.method == "POST":
            with unit_of_work() as work:
                return signing_in.use_link(
                    work,
                    settings(),
                    realm=self.realm,
                    token=token,
                    browser_secret=self._browser_secret(),
                )
        outcome = signing_in.look_at_link(
            db.session(),
            settings(),
            realm=self.realm,
            token=token,
            browser_secret=self._browser_secret(),
        )
        return Answer(outcome)

    @property
    def _asked_key(self) -> str:
        return f"asked_{self.realm}"

    def _ask_page(self, typed: str, target: str | None, error: str | None = None) -> str:
        template = "staff/sign_in.html" if self.realm == Realm.STAFF else "access/sign_in.html"
        return self._page(template, form={"email": typed}, next=target, error=error)

    def _code_page(self, email: str, error: str | None = None) -> str:
        return self._page("access/check_mail.html", email=email, error=error)

    def _page(self, template: str, **context: object) -> str:
        return render_template(
            template,
            realm=self.realm,
            ask_url=url_for(f"{self.blueprint}.sign_in"),
            code_url=url_for(f"{self.blueprint}.code"),
            **context,
        )

    def _browser_secret(self) -> str:
        return request.cookies.get(cookie_name(settings(), "asked"), "")

    def _remember_browser(self, response: Response, secret: str) -> None:
        response.set_cookie(
            cookie_name(settings(), "asked"),
            secret,
            max_age=_BROWSER_KNOWN_FOR,
            secure=settings().public_url.startswith("https://"),
            httponly=True,
            # Strict would hide it from whoever follows the link in our mail.
            samesite="Lax",
        )
