"""The SMTP listener, over real sockets."""

import smtplib
import socket
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from email.message import EmailMessage
from pathlib import Path

import pytest

from donorportal.sandbox.mailbox import Mailbox
from donorportal.sandbox.smtp import SmtpListener, start_smtp

LISTEN_UNTIL_KILLED = """
import sys, threading
from pathlib import Path
from donorportal.sandbox.mailbox import Mailbox
from donorportal.sandbox.smtp import start_smtp
print(start_smtp(Mailbox(Path(sys.argv[1])), 0).port, flush=True)
threading.Event().wait()
"""


def test_a_message_is_kept_as_sent(
    connection: smtplib.SMTP, mailbox: Mailbox, letter: EmailMessage
) -> None:
    """Envelope, subject, bodies and attachments come back as they were sent."""
    connection.send_message(letter, "bounces+1@charity.example", ["ann@example.org"])

    (kept,) = mailbox.messages()
    assert kept.envelope_from == "bounces+1@charity.example"
    assert kept.recipients == ("ann@example.org",)
    assert kept.subject == "Grüße: your gift"
    assert kept.text is not None
    assert kept.text.startswith("Dear Ann,\nsee")
    assert [part.name for part in kept.attachments] == ["part-1", "receipt.pdf"]
    assert kept.attachments[1].content == b"%PDF-1.7"


def test_the_raw_bytes_are_untouched(connection: smtplib.SMTP, mailbox: Mailbox) -> None:
    """The stored message equals the sent one byte for byte, leading dots included."""
    raw = b"Subject: x\r\nX-Long: " + b"y" * 900 + b"\r\n\r\n.dot\r\n..two\r\nT\xc3\xa4g\r\n"

    connection.sendmail("a@charity.example", ["b@example.org"], raw, ["BODY=8BITMIME"])

    assert [kept.raw for kept in mailbox.messages()] == [raw]


def test_a_bounce_has_no_sender(connection: smtplib.SMTP, mailbox: Mailbox) -> None:
    """The null sender of a bounce is accepted and kept as an empty string."""
    connection.sendmail("", ["b@example.org"], b"Subject: bounce\r\n\r\nsorry\r\n")

    assert [kept.envelope_from for kept in mailbox.messages()] == [""]


def test_recipients_find_their_mail_in_any_case_of_letters(
    connection: smtplib.SMTP, mailbox: Mailbox
) -> None:
    """Each recipient of the envelope finds the message; a part of an address only searches."""
    connection.sendmail("a@charity.example", ["Ann@Example.org", "ben@example.org"], b"hello\r\n")

    assert len(mailbox.messages("ann@example.ORG")) == 1
    assert len(mailbox.messages("ben@example.org")) == 1
    assert mailbox.messages("nn@example.org") == []
    assert len(mailbox.search("NN@exam")) == 1


def test_newest_first_by_pages(mailbox: Mailbox) -> None:
    """Messages come newest first, and `before` continues where a page ended."""
    ids = [mailbox.add("", ["a@example.org"], b"x") for _ in range(5)]

    first = [mail.id for mail in mailbox.messages(limit=2)]
    second = [mail.id for mail in mailbox.messages(limit=2, before=first[-1])]

    assert first + second == [ids[4], ids[3], ids[2], ids[1]]


def test_pipelined_commands_are_answered_in_order(listener: SmtpListener, mailbox: Mailbox) -> None:
    """PIPELINING is offered, and a body may travel with the next message's commands."""
    group = b"MAIL FROM:<a@charity.example>\r\nRCPT TO:<b@example.org>\r\nDATA\r\n"
    body = b"Subject: x\r\n\r\nhello\r\n.\r\n"
    with socket.create_connection(("127.0.0.1", listener.port), timeout=10) as client:
        replies = client.makefile("rb")
        replies.readline()
        client.sendall(b"EHLO test\r\n")
        offered = [replies.readline().strip() for _ in range(6)]
        client.sendall(group + body + group + body + b"QUIT\r\n")
        answers = [line[:3] for line in replies]
        replies.close()

    assert b"250-PIPELINING" in offered
    assert b"250-SMTPUTF8" in offered
    assert answers == [b"250", b"250", b"354", b"250"] * 2 + [b"221"]
    assert mailbox.count() == 2


def test_many_connections_at_once_lose_nothing(listener: SmtpListener, mailbox: Mailbox) -> None:
    """Eight senders at the same time each find all their messages kept."""

    def send_twenty(sender: int) -> None:
        with smtplib.SMTP("127.0.0.1", listener.port, timeout=30) as client:
            for _ in range(20):
                client.sendmail(f"s{sender}@charity.example", ["b@example.org"], b"x\r\n")

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(send_twenty, range(8)))

    assert mailbox.count() == 160


def test_accepted_messages_survive_kill_9(tmp_path: Path) -> None:
    """Every message answered with 250 is there after the process was killed."""
    database = tmp_path / "mailbox.db"
    command = [sys.executable, "-c", LISTEN_UNTIL_KILLED, str(database)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        port = int(process.stdout.readline())
        client = smtplib.SMTP("127.0.0.1", port, timeout=10)
        for number in range(10):
            client.sendmail("a@charity.example", [f"b{number}@example.org"], b"x\r\n")
        process.kill()
    client.close()

    survivor = Mailbox(database)
    assert survivor.count() == 10
    survivor.close()


def test_a_cleared_mailbox_never_repeats_an_id(mailbox: Mailbox) -> None:
    """Clearing forgets the messages but not how far the ids were counted."""
    first = mailbox.add("", ["a@example.org"], b"x")
    mailbox.clear()

    assert mailbox.messages() == []
    assert mailbox.messages("a@example.org") == []
    assert mailbox.add("", ["a@example.org"], b"x") > first


def test_a_taken_port_is_an_error(listener: SmtpListener, mailbox: Mailbox) -> None:
    """Starting on a port in use raises instead of listening elsewhere."""
    with pytest.raises(OSError, match="in use"):
        start_smtp(mailbox, listener.port)


def test_it_listens_on_loopback_only(listener: SmtpListener) -> None:
    """Another address of this machine does not answer."""
    with pytest.raises(OSError, match="refused"):
        socket.create_connection(("127.0.0.2", listener.port), timeout=2)


def test_stopping_ends_open_connections(mailbox: Mailbox) -> None:
    """Stop returns although a client is connected, and the client sees the end."""
    started = start_smtp(mailbox, 0)
    with socket.create_connection(("127.0.0.1", started.port), timeout=10) as client:
        client.recv(100)

        started.stop()

        assert client.recv(100) == b""
