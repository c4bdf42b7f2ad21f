"""The web mailbox as a browser and a test program see it."""

from email.message import EmailMessage

import pytest
from flask.testing import FlaskClient
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from donorportal.sandbox.mailbox import Mailbox


def test_the_list_shows_newest_first_and_searches(web: FlaskClient, mailbox: Mailbox) -> None:
    """Subject, recipient and order are on the page, and a part of an address narrows it."""
    mailbox.add("", ["ann@example.org"], b"Subject: older\r\n\r\n")
    mailbox.add("", ["ben@example.org"], b"Subject: <newer>\r\n\r\n")

    everything = web.get("/mail/").text
    narrowed = web.get("/mail/?to=ANN").text

    assert everything.index("&lt;newer&gt;") < everything.index("older")
    assert "ann@example.org" in narrowed
    assert "newer" not in narrowed


def test_the_list_goes_on(web: FlaskClient, mailbox: Mailbox) -> None:
    """After fifty messages a link leads to the older ones."""
    for number in range(51):
        mailbox.add("", ["a@example.org"], b"Subject: number-%d\r\n\r\n" % number)

    first = web.get("/mail/").text

    assert "number-1<" in first
    assert "number-0<" not in first
    assert "/mail/?before=2" in first
    assert "number-0<" in web.get("/mail/?before=2").text


def test_a_letter_is_isolated(web: FlaskClient, mailbox: Mailbox, letter: EmailMessage) -> None:
    """HTML from a mail is framed without scripts, forms or any request to elsewhere."""
    message_id = mailbox.add("", ["ann@example.org"], bytes(letter))

    page = web.get(f"/mail/{message_id}").text
    framed = web.get(f"/mail/{message_id}/html")

    frame = 'sandbox="allow-popups allow-popups-to-escape-sandbox"'
    assert frame in page
    assert "broken out" not in page
    policy = framed.headers["Content-Security-Policy"].split("; ")
    assert "sandbox allow-popups allow-popups-to-escape-sandbox" in policy
    assert "default-src 'none'" in policy
    assert not [part for part in policy if part.startswith("script-src")]
    assert framed.headers["X-Content-Type-Options"] == "nosniff"


def test_a_letter_opens_links_elsewhere_and_shows_its_pictures(
    web: FlaskClient, mailbox: Mailbox, letter: EmailMessage
) -> None:
    """Links go to a new tab, attached pictures are part of the page, the doctype stays first."""
    message_id = mailbox.add("", ["ann@example.org"], bytes(letter))

    framed = web.get(f"/mail/{message_id}/html").text

    assert framed.startswith("<!doctype html><html><head>")
    assert '<head><base target="_blank">' in framed
    assert 'src="data:image/png;base64,iVBORw=="' in framed


def test_text_is_escaped_and_its_links_work(
    web: FlaskClient, mailbox: Mailbox, letter: EmailMessage
) -> None:
    """Markup in a text part is shown as typed, and an address ends before its punctuation."""
    message_id = mailbox.add("", ["ann@example.org"], bytes(letter))

    page = web.get(f"/mail/{message_id}?view=text").text

    assert "&lt;b&gt;plain&lt;/b&gt;" in page
    assert '<a href="https://charity.example/portal?a=1&amp;b=2" target="_blank"' in page
    assert "b=2</a>).\n" in page


def test_source_and_attachments_download(
    web: FlaskClient, mailbox: Mailbox, letter: EmailMessage
) -> None:
    """The source shows headers and raw text; files are downloaded, never displayed."""
    message_id = mailbox.add("", ["ann@example.org"], bytes(letter))

    source = web.get(f"/mail/{message_id}?view=source").text
    raw = web.get(f"/mail/{message_id}/raw")
    receipt = web.get(f"/mail/{message_id}/attachments/2")

    assert "List-Unsubscribe" in source
    assert raw.data == bytes(letter)
    assert receipt.data == b"%PDF-1.7"
    for download in (raw, receipt):
        assert download.headers["Content-Disposition"].startswith("attachment;")
        assert download.headers["Content-Type"] == "application/octet-stream"


def test_json_for_tests(web: FlaskClient, mailbox: Mailbox, letter: EmailMessage) -> None:
    """Another program reads the messages of one address, exact to the byte."""
    message_id = mailbox.add("bounces@charity.example", ["ann@example.org"], bytes(letter))
    mailbox.add("", ["ben@example.org"], b"Subject: other\r\n\r\n")

    (mail,) = web.get("/mail/messages.json?to=ann@example.org").get_json()

    assert mail["id"] == message_id
    assert mail["to"] == ["ann@example.org"]
    assert mail["from"] == "Open Door <gifts@charity.example>"
    assert mail["envelope_from"] == "bounces@charity.example"
    assert mail["subject"] == "Grüße: your gift"
    assert "Dear Ann" in mail["text"]
    assert "See it" in mail["html"]
    assert mail["headers"]["List-Unsubscribe"] == "<https://charity.example/u/1>"
    assert mail["raw"].encode("latin-1") == bytes(letter)


def test_clearing(web: FlaskClient, mailbox: Mailbox) -> None:
    """A POST empties the mailbox and leads back to the list; a GET does not."""
    mailbox.add("", ["a@example.org"], b"x")

    assert web.get("/mail/clear").status_code == 405
    assert mailbox.count() == 1
    assert web.post("/mail/clear").headers["Location"] == "/mail/"
    assert mailbox.count() == 0


@pytest.mark.parametrize(
    "path", ["/mail/99", "/mail/99/html", "/mail/1/html", "/mail/1?view=html", "/mail/1?view=x"]
)
def test_what_is_not_there_is_404(web: FlaskClient, mailbox: Mailbox, path: str) -> None:
    """Unknown messages, and views a message does not have, are not found."""
    mailbox.add("", ["a@example.org"], b"Subject: no HTML\r\n\r\nplain\r\n")

    assert web.get(path).status_code == 404


@pytest.mark.parametrize("number", ["x", "-1", "1e3", "9" * 30, "-" + "9" * 30])
def test_senseless_numbers_in_the_address_do_no_harm(
    web: FlaskClient, mailbox: Mailbox, number: str
) -> None:
    """Paging and limits beyond reason are answered, never a crash."""
    mailbox.add("", ["a@example.org"], b"x")

    assert web.get(f"/mail/?before={number}").status_code == 200
    assert web.get(f"/mail/messages.json?limit={number}").status_code == 200
    assert web.get(f"/mail/{number}").status_code == 404


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"\x00\xff\xfe",
        b"Subject: =?no-such-charset?q?x?=\r\n\r\n",
        b"Content-Type: text/plain; charset=no-such\r\n\r\nT\xe4g",
        b"Content-Type: multipart/mixed; boundary=x\r\n\r\nno parts",
        b"Content-Type: text/html; charset=x\r\nContent-Transfer-Encoding: base64\r\n\r\n!!!",
        b"To: <@>\r\nFrom: ,,,;\r\nDate: never\r\nMessage-ID: <\r\n\r\nx",
        b'Content-Disposition: attachment; filename="a\r\n b/../\x01c"\r\n\r\nx',
    ],
)
def test_broken_messages_can_still_be_read(web: FlaskClient, mailbox: Mailbox, raw: bytes) -> None:
    """A message no parser likes has a page, a source and JSON all the same."""
    message_id = mailbox.add("", ["a@example.org"], raw)

    paths = ("/mail/", f"/mail/{message_id}", f"/mail/{message_id}?view=source")
    statuses = [web.get(path).status_code for path in (*paths, "/mail/messages.json")]

    assert statuses == [200, 200, 200, 200]


@settings(
    max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    name=st.sampled_from(
        ["To", "From", "Subject", "Date", "Message-ID", "Content-Type", "Content-Disposition"]
    ),
    value=st.text(alphabet="a@<>\"(),;:=?/\\ \t%\u00e9*'[]-.", max_size=40),
)
def test_any_header_can_be_read(web: FlaskClient, mailbox: Mailbox, name: str, value: str) -> None:
    """No header value, however broken, takes the mailbox down."""
    message_id = mailbox.add("", ["a@example.org"], f"{name}: {value}\r\n\r\nx\r\n".encode())

    assert web.get(f"/mail/{message_id}?view=source").status_code == 200
    assert web.get("/mail/messages.json?limit=1").status_code == 200
