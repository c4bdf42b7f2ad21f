"""The web mailbox: what a donor would find in theirs, and JSON for tests."""

import base64
import io
import re
from typing import Any

from flask import (
    Blueprint,
    Response,
    abort,
    jsonify,
    redirect,
    render_template,
    request,
    send_file,
    url_for,
)
from markupsafe import Markup, escape
from werkzeug.wrappers import Response as AnyResponse

from donorportal.sandbox.mailbox import Mailbox, StoredMail
from donorportal.sandbox.page_policy import protect

PAGE_SIZE = 50
MOST_AS_JSON = 1000
FRAME_SANDBOX = "allow-popups allow-popups-to-escape-sandbox"
FRAME_POLICY = (
    f"sandbox {FRAME_SANDBOX}; default-src 'none'; style-src 'unsafe-inline'; "
    "img-src data: cid:; form-action 'none'; frame-ancestors 'self'"
)
LINK = re.compile(r"https?://[^\s<>\"]+[^\s<>\".,;:!?)\]}']")
HEAD = re.compile(r"<head(\s[^>]*)?>", re.IGNORECASE)


def mailbox_pages(mailbox: Mailbox) -> Blueprint:
    """Build the pages over one mailbox, to be mounted at a prefix such as `/mail`."""
    pages = Blueprint("mailbox", __name__, template_folder="templates")
    pages.after_request(protect)
    _add_reading(pages, mailbox)
    _add_parts(pages, mailbox)
    _add_doors_for_tests(pages, mailbox)
    return pages


def _add_reading(pages: Blueprint, mailbox: Mailbox) -> None:
    @pages.get("/")
    def index() -> str:
        address = request.args.get("to", "").strip()
        before = request.args.get("before", type=int)
        if address:
            found = mailbox.search(address, PAGE_SIZE + 1, before=before)
        else:
            found = mailbox.messages(limit=PAGE_SIZE + 1, before=before)
        older = found[PAGE_SIZE - 1].id if len(found) > PAGE_SIZE else None
        return render_template(
            "mailbox/index.html",
            mails=found[:PAGE_SIZE],
            address=address,
            older=older,
            newest=before is None,
            total=mailbox.count(),
        )

    @pages.get("/<int:message_id>")
    def message(message_id: int) -> str:
        mail = _find(mailbox, message_id)
        views = [name for name, body in (("html", mail.html), ("text", mail.text)) if body]
        views.append("source")
        view = request.args.get("view", views[0])
        if view not in views:
            abort(404)
        return render_template(
            "mailbox/message.html",
            mail=mail,
            view=view,
            views=views,
            text=_linked(mail.text or ""),
            source=mail.raw.decode("utf-8", "replace") if view == "source" else "",
            frame_sandbox=FRAME_SANDBOX,
        )


def _add_parts(pages: Blueprint, mailbox: Mailbox) -> None:
    @pages.get("/<int:message_id>/html")
    def html(message_id: int) -> Response:
        mail = _find(mailbox, message_id)
        if not mail.html:
            abort(404)
        response = Response(_framed(mail), mimetype="text/html")
        # A mail may carry anything; the policy, not a sanitiser, keeps it from acting.
        response.headers["Content-Security-Policy"] = FRAME_POLICY
        return response

    @pages.get("/<int:message_id>/raw")
    def raw(message_id: int) -> Response:
        mail = _find(mailbox, message_id)
        return _download(mail.raw, f"{mail.id}.eml")

    @pages.get("/<int:message_id>/attachments/<int:number>")
    def attachment(message_id: int, number: int) -> Response:
        attachments = _find(mailbox, message_id).attachments
        if not 1 <= number <= len(attachments):
            abort(404)
        chosen = attachments[number - 1]
        return _download(chosen.content, chosen.name)


def _add_doors_for_tests(pages: Blueprint, mailbox: Mailbox) -> None:
    @pages.get("/messages.json")
    def messages() -> Response:
        limit = max(0, min(request.args.get("limit", MOST_AS_JSON, type=int), MOST_AS_JSON))
        found = mailbox.messages(request.args.get("to"), limit)
        return jsonify([_as_json(mail) for mail in found])

    @pages.post("/clear")
    def clear() -> AnyResponse:
        mailbox.clear()
        return redirect(url_for(".index"), 303)

    @pages.get("/knobs")
    def knobs() -> Response:
        return jsonify(mailbox.faults.knobs)

    @pages.post("/knobs")
    def set_knobs() -> tuple[Response, int]:
        document = request.get_json(silent=True)
        if not isinstance(document, dict):
            return jsonify(error="send a JSON object"), 400
        try:
            mailbox.faults.set(document)
        except ValueError as error:
            return jsonify(error=str(error)), 400
        return jsonify(mailbox.faults.knobs), 200


def _find(mailbox: Mailbox, message_id: int) -> StoredMail:
    mail = mailbox.get(message_id)
    return mail if mail is not None else abort(404)


def _as_json(mail: StoredMail) -> dict[str, Any]:
    headers: dict[str, str] = {}
    for name, value in mail.headers:
        headers[name] = f"{headers[name]}\n{value}" if name in headers else value
    return {
        "id": mail.id,
        "received_at": mail.received_at.isoformat(),
        "to": list(mail.recipients),
        "from": mail.header("From"),
        "envelope_from": mail.envelope_from,
        "subject": mail.subject,
        "text": mail.text,
        "html": mail.html,
        "headers": headers,
        # Latin-1 gives each byte one character, so that a test can have the exact bytes back.
        "raw": mail.raw.decode("latin-1"),
    }


def _framed(mail: StoredMail) -> str:
    """Return the HTML body with its links sent to a new tab and its attached pictures inlined."""
    html = mail.html or ""
    for part in mail.attachments:
        if part.content_id and part.content_type.startswith("image/"):
            data = base64.b64encode(part.content).decode("ascii")
            html = html.replace(f"cid:{part.content_id}", f"data:{part.content_type};base64,{data}")
    # Inside the head: anything before the doctype would put the browser in quirks mode.
    base = '<base target="_blank">'
    head = HEAD.search(html)
    return (
        html[: head.end()] + base + html[head.end() :] if head else f"<!doctype html>{base}{html}"
    )


def _linked(text: str) -> Markup:
    """Return the text escaped, with web addresses as links to a new tab."""
    pieces, end = Markup(), 0
    for match in LINK.finditer(text):
        link = Markup('<a href="{0}" target="_blank" rel="noopener noreferrer">{0}</a>')
        pieces += escape(text[end : match.start()]) + link.format(match.group())
        end = match.end()
    return pieces + escape(text[end:])


def _download(content: bytes, name: str) -> Response:
    # Always as a file of unknown type: nothing from a mail is shown under this origin.
    return send_file(
        io.BytesIO(content), "application/octet-stream", as_attachment=True, download_name=name
    )
