"""What every request and every answer has in common: headers, static files, error pages."""

import gzip
import secrets
import time

import structlog
from flask import Flask, Response, g, render_template, request
from flask.typing import ResponseReturnValue
from flask_wtf.csrf import CSRFError
from werkzeug.exceptions import BadRequest, HTTPException

from donorportal import metrics
from donorportal.assets import Assets
from donorportal.config import Settings
from donorportal.db import reading
from donorportal.jobs.failing import describe
from donorportal.ledger.halting import PostingHalted

log = structlog.get_logger()

_READING = frozenset({"GET", "HEAD", "OPTIONS"})
_METHODS = _READING | {"POST", "PUT", "PATCH", "DELETE", "TRACE"}
_YEAR_SECONDS = 31_536_000
_STRIPE_CHECKOUT = "https://checkout.stripe.com"
_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "strict-origin-when-cross-origin",
    "Permissions-Policy": "camera=(), microphone=(), geolocation=(), payment=()",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
}


def init_edge(app: Flask, settings: Settings, assets: Assets) -> None:
    """Install what concerns every request."""
    app.jinja_env.globals.update(
        asset=assets.url,
        organisation=settings.organisation,
        sandbox=not settings.livemode,
        page_language=settings.organisation.locale.replace("_", "-"),
    )
    headers = _HEADERS | {"Content-Security-Policy": _policy(settings)}
    if settings.public_url.startswith("https://"):
        headers["Strict-Transport-Security"] = f"max-age={_YEAR_SECONDS}; includeSubDomains"
    app.before_request(_begin)
    app.before_request(_refuse_other_sites)
    app.add_url_rule(
        "/static/<digest>/<path:name>",
        "assets.serve",
        lambda digest, name: _serve(assets, digest, name),
    )

    @app.after_request
    def finish(response: Response) -> Response:
        # Views set none of these, so they are added without looking for earlier ones.
        response.headers.extend(headers)
        _pack(response)
        _observe(response)
        return response

    @app.teardown_request
    def end(_error: BaseException | None) -> None:
        token = g.pop("reading_token", None)
        if token is not None:
            reading.reset(token)

    app.register_error_handler(HTTPException, _refused)
    app.register_error_handler(PostingHalted, _halted)
    app.register_error_handler(Exception, _failed)


def _policy(settings: Settings) -> str:
    """Return the content security policy.

    Chromium applies ``form-action`` to the redirect after a post as well, so the payment page must
    be listed or the donor would never get there.
    """
    pay = [_STRIPE_CHECKOUT] if settings.livemode else [_STRIPE_CHECKOUT, *_sandbox(settings)]
    rules = {
        "default-src": "'none'",
        "script-src": "'self'",
        "style-src": "'self'",
        "img-src": "'self' data:",
        "font-src": "'self'",
        "connect-src": "'self'",
        "manifest-src": "'self'",
        "form-action": " ".join(["'self'", *pay]),
        "frame-ancestors": "'none'",
        "base-uri": "'none'",
    }
    return "; ".join(f"{name} {value}" for name, value in rules.items())


def _sandbox(settings: Settings) -> list[str]:
    """Return the sandbox's origins; it calls itself localhost where its API is at 127.0.0.1."""
    base = settings.stripe_api_base
    if not base.startswith(("http://127.0.0.1", "http://localhost")):
        return []
    return [base, base.replace("//127.0.0.1", "//localhost")]


def _begin() -> None:
    g.began = time.perf_counter()
    g.reading_token = reading.set(request.method in _READING)
    # Werkzeug measures forms with files in them while it reads; the plain ones it reads at once.
    if request.mimetype == "application/x-www-form-urlencoded":
        request.max_content_length = request.max_form_memory_size


def _refuse_other_sites() -> None:
    """Refuse a post that another site made the browser send.

    Browsers say where a request comes from; old ones only with Origin. What says nothing at all
    is no browser, carries no cookies of a victim, and may pass: Stripe's webhooks, for example.
    """
    if request.method in _READING:
        return
    site = request.headers.get("Sec-Fetch-Site")
    if site is not None:
        allowed = site in {"same-origin", "none"}
    else:
        origin = request.headers.get("Origin")
        allowed = origin is None or origin == request.host_url.rstrip("/")
    if not allowed:
        raise OtherSite


class OtherSite(HTTPException):
    """A form that was sent from a page of another site."""

    code = 403
    description = "This form was not sent from one of our own pages."


def _serve(assets: Assets, digest: str, name: str) -> ResponseReturnValue:
    found = assets.find(digest, name)
    if found is None:
        return "", 404
    zipped = found.gzip_content is not None and request.accept_encodings["gzip"] > 0
    response = Response(
        found.gzip_content if zipped else found.content, content_type=found.content_type
    )
    if zipped:
        response.headers["Content-Encoding"] = "gzip"
    response.headers["Vary"] = "Accept-Encoding"
    response.headers["Cache-Control"] = f"public, max-age={_YEAR_SECONDS}, immutable"
    return response


def _pack(response: Response) -> None:
    """Compress a page for visitors without a cookie: most of them wait on a phone.

    Who has one may be signed in, and a page that holds a secret beside what others put into its
    address must not be compressed: its length would tell the secret, byte by byte.
    """
    if response.mimetype != "text/html" or response.is_streamed:
        return
    response.vary.add("Accept-Encoding")
    if request.cookies or request.accept_encodings["gzip"] <= 0 or request.method == "HEAD":
        return
    response.set_data(gzip.compress(response.get_data(), compresslevel=1, mtime=0))
    response.headers["Content-Encoding"] = "gzip"


_TEXTS = {
    400: ("That request was not understood", "Something in the address or the form was not right."),
    403: ("This is not open to you", "You are signed in, but this page is not for your account."),
    404: ("There is nothing here", "The address may be mistyped, or the page may have moved."),
    405: ("That does not work here", "This address cannot be used in this way."),
    410: ("This link has been used", "A link in a mail works once."),
    413: ("That was too much", "The form held more than we can take."),
    429: ("Please wait a little", "There have been many attempts in a short time."),
}


def _refused(error: HTTPException) -> ResponseReturnValue:
    if error.response is not None or (error.code or 500) < 400:  # noqa: PLR2004 - redirects pass
        return error.get_response()
    # A form without our token is refused like one from another site, which it may be.
    status = 403 if isinstance(error, CSRFError) else error.code or 500
    title, what = _TEXTS.get(status, ("That did not work", error.description or ""))
    if isinstance(error, OtherSite):
        what = error.description or ""
    if isinstance(error, CSRFError):
        title, what = "Please try that once more", "The form you sent is no longer valid."
    return _page(status, title, what)


def unreadable(_error: Exception) -> ResponseReturnValue:
    """Answer a request whose body broke off, or was never one; only the server can tell."""
    return _refused(BadRequest())


def _halted(error: PostingHalted) -> ResponseReturnValue:
    """Answer what would have to write into books that are being looked at."""
    log.warning("posting is halted", reference=_reference(), source=str(error))
    return _page(
        503,
        "We are checking our books",
        "What you asked for is kept, and finished by itself as soon as the check is over.",
    )


def _failed(error: Exception) -> ResponseReturnValue:
    """Show a page for a mistake of ours; the reference finds it in the log."""
    log.error("request failed", reference=_reference(), error=describe(error, frames=16))
    return _page(
        500,
        "Something went wrong on our side",
        "We could not finish this, and we have been told about it.",
    )


def _page(status: int, title: str, what_happened: str) -> ResponseReturnValue:
    posted = request.method == "POST"
    page = render_template(
        "errors/error.html",
        status=status,
        title=title,
        what_happened=what_happened,
        money="Nothing was charged by this page." if posted or request.path == "/give" else None,
        next_step={"text": "Go to the home page", "url": "/"},
        reference=_reference(),
    )
    return page, status


def _reference() -> str:
    """Return what both the page and the log call this request when it went wrong."""
    reference: str = g.setdefault("reference", secrets.token_hex(4))
    return reference


def _observe(response: Response) -> None:
    """Log and count the request; addresses and bodies stay out of the log."""
    endpoint = request.endpoint or "none"
    # Werkzeug refuses some requests, such as for a foreign host, before anything of ours runs.
    seconds = time.perf_counter() - g.get("began", time.perf_counter())
    # Anybody can invent methods; each would be counted, and kept, for ever.
    method = request.method if request.method in _METHODS else "other"
    metrics.observe(endpoint, method, response.status_code, seconds)
    if endpoint not in {"assets.serve", "health.healthz", "health.readyz", "health.metrics"}:
        trouble = {"reference": g.reference} if "reference" in g else {}
        log.info(
            "request",
            method=method,
            endpoint=endpoint,
            status=response.status_code,
            ms=round(seconds * 1000, 1),
            **trouble,
        )
