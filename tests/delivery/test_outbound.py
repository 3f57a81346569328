import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from msgstore.delivery.outbound import NoOutbound, SmtpOutbound
from msgstore.model.address import parse_address
from msgstore.model.envelope import BodyType
from msgstore.model.errors import OutboundRefused, OutboundUnavailable, StoreUnavailable
from msgstore.model.interfaces import Outbound, Submission
from msgstore.model.submission import SubmissionRecipient
from tests.delivery.smtp_server import SmtpServer, socket_in

MESSAGE = (b"Subject: hi\r\n\r\n", b".dot\r\n", b"end\r\n")
BARE = ("ENHANCEDSTATUSCODES",)


def submission(*addresses: str, reverse_path: str | None = "alice@example.com") -> Submission:
    return Submission(
        reverse_path=None if reverse_path is None else parse_address(reverse_path),
        recipients=tuple(SubmissionRecipient(address=parse_address(one)) for one in addresses),
    )


def outbound_to(target: str, *, timeout_seconds: float = 5.0, max_connections: int = 8) -> Outbound:
    return SmtpOutbound(
        target, hostname="store.example.com", timeout_seconds=timeout_seconds, max_connections=max_connections
    )


@pytest.mark.parametrize("is_unix", [True, False])
@pytest.mark.parametrize("keywords", [SmtpServer().keywords, BARE, ()])
def test_a_message_reaches_the_server_with_its_envelope(
    tmp_path: Path, keywords: tuple[str, ...], *, is_unix: bool
) -> None:
    server = SmtpServer(keywords=keywords)

    with server.at(socket_in(tmp_path) if is_unix else None) as target:
        outbound_to(target).submit(submission("bob@example.net", "carol@example.net"), MESSAGE)

    (taken,) = server.taken
    assert taken.content == b"".join(MESSAGE)
    assert taken.mail.startswith("MAIL FROM:<alice@example.com>")
    assert taken.rcpts == ["RCPT TO:<bob@example.net>", "RCPT TO:<carol@example.net>"]
    assert server.lines[0] == "EHLO store.example.com"
    assert server.lines[-1] == "QUIT"


def test_a_server_is_greeted_and_left_without_mail(tmp_path: Path) -> None:
    server = SmtpServer()
    with server.at(str(tmp_path / "s")) as target:
        said = SmtpOutbound(target, hostname="store.example.com").probe()

    assert said.startswith("250 ")
    assert server.lines[:1] == ["EHLO store.example.com"]
    assert not any(line.startswith(("MAIL", "RCPT", "DATA")) for line in server.lines)
    with pytest.raises(OutboundUnavailable):
        SmtpOutbound(target, hostname="store.example.com").probe()


def test_what_the_server_offers_is_used(tmp_path: Path) -> None:
    server = SmtpServer()
    wanted = Submission(
        reverse_path=None,
        recipients=(
            SubmissionRecipient(
                address=parse_address("b\u00fccher@m\u00fcnchen.example"),
                orcpt="rfc822;Bob+2B@x",
                notify=("SUCCESS", "DELAY"),
            ),
        ),
        octets=30,
        envid="Q+2B1",
        ret="HDRS",
    )

    with server.at(socket_in(tmp_path)) as target:
        outbound_to(target).submit(wanted, MESSAGE)

    assert server.taken[0].mail == "MAIL FROM:<> SIZE=30 BODY=8BITMIME SMTPUTF8 RET=HDRS ENVID=Q+2B1"
    assert server.taken[0].rcpts == [
        "RCPT TO:<b\u00fccher@m\u00fcnchen.example> NOTIFY=SUCCESS,DELAY ORCPT=rfc822;Bob+2B@x"
    ]


def test_what_the_server_does_not_offer_is_left_out(tmp_path: Path) -> None:
    server = SmtpServer(keywords=BARE)
    recipient = SubmissionRecipient(
        address=parse_address("bob@m\u00fcnchen.example"), notify=("NEVER",), orcpt="rfc822;b"
    )

    with server.at(socket_in(tmp_path)) as target:
        outbound_to(target).submit(
            Submission(reverse_path=parse_address("a@b"), recipients=(recipient,), octets=3, ret="FULL"), MESSAGE
        )

    assert server.taken[0].mail == "MAIL FROM:<a@b>"
    assert server.taken[0].rcpts == ["RCPT TO:<bob@xn--mnchen-3ya.example>"]


@pytest.mark.parametrize("is_header", [True, False])
def test_mail_that_needs_smtputf8_is_refused_for_good_where_it_is_not_offered(
    tmp_path: Path, *, is_header: bool
) -> None:
    server = SmtpServer(keywords=BARE)
    address = parse_address("bob@example.net" if is_header else "b\u00fc@example.net")
    wanted = Submission(reverse_path=None, recipients=(SubmissionRecipient(address=address),), smtputf8=is_header)

    with server.at(socket_in(tmp_path)) as target, pytest.raises(OutboundRefused) as caught:
        outbound_to(target).submit(wanted, MESSAGE)

    assert str(caught.value.status) == "5.6.7"
    assert not server.taken


def test_a_message_above_the_limit_of_the_server_is_refused_before_a_word_of_it(tmp_path: Path) -> None:
    server = SmtpServer(keywords=("SIZE 10",))
    wanted = Submission(reverse_path=None, recipients=submission("a@b").recipients, octets=11)

    with server.at(socket_in(tmp_path)) as target, pytest.raises(OutboundRefused) as caught:
        outbound_to(target).submit(wanted, MESSAGE)

    assert str(caught.value.status) == "5.3.4"


@pytest.mark.parametrize("keywords", [("PIPELINING",), BARE])
@pytest.mark.parametrize(
    ("replies", "kind", "status"),
    [
        ({"RCPT TO:<carol": "550 5.1.1 No such user"}, OutboundRefused, "5.1.1"),
        ({"RCPT TO:<carol": "550 no status"}, OutboundRefused, "5.0.0"),
        ({"RCPT TO:<carol": "451 4.7.1 Greylisted"}, OutboundUnavailable, "4.4.0"),
        ({"MAIL": "452 4.3.1 Full"}, OutboundUnavailable, "4.4.0"),
        ({"MAIL": "553 5.1.8 Bad sender"}, OutboundRefused, "5.1.8"),
        ({"DATA": "554 5.5.1 No"}, OutboundRefused, "5.5.1"),
        ({"EHLO": "502 5.5.1 What"}, OutboundUnavailable, "4.4.0"),
    ],
)
def test_one_recipient_that_is_refused_keeps_the_message_from_all(
    tmp_path: Path, keywords: tuple[str, ...], replies: dict[str, str], kind: type[Exception], status: str
) -> None:
    server = SmtpServer(keywords=keywords, replies=replies)

    with server.at(socket_in(tmp_path)) as target, pytest.raises(kind) as caught:
        outbound_to(target).submit(submission("bob@example.net", "carol@example.net"), MESSAGE)

    assert isinstance(caught.value, OutboundRefused | OutboundUnavailable)
    assert str(caught.value.status) == status
    assert caught.value.is_temporary == (kind is OutboundUnavailable)
    assert not server.taken


@pytest.mark.parametrize(
    ("end", "kind"), [("451 4.3.0 Disk", OutboundUnavailable), ("554 5.7.1 Spam", OutboundRefused)]
)
def test_the_reply_to_the_end_of_the_message_decides(tmp_path: Path, end: str, kind: type[Exception]) -> None:
    server = SmtpServer(end_replies=[end])

    with server.at(socket_in(tmp_path)) as target, pytest.raises(kind, match=end[:9]):
        outbound_to(target).submit(submission("bob@example.net"), MESSAGE)


@pytest.mark.parametrize("greeting", ["554 5.7.1 Go away", "421 4.3.2 Busy", "SSH-2.0-x"])
def test_a_server_that_does_not_welcome_us_is_a_matter_of_time(tmp_path: Path, greeting: str) -> None:
    with SmtpServer(greeting=greeting).at(socket_in(tmp_path)) as target, pytest.raises(OutboundUnavailable):
        outbound_to(target).submit(submission("bob@example.net"), MESSAGE)


def test_a_server_that_is_not_there_is_a_matter_of_time(tmp_path: Path) -> None:
    for target in (f"unix:{tmp_path}/none", "tcp:127.0.0.1:1"):
        with pytest.raises(OutboundUnavailable):
            outbound_to(target).submit(submission("bob@example.net"), MESSAGE)
    with pytest.raises(OutboundUnavailable):
        NoOutbound().submit(submission("bob@example.net"), MESSAGE)


@pytest.mark.parametrize(
    "server", [*(SmtpServer(hangs_at=one) for one in ("EHLO", "MAIL", "DATA")), SmtpServer(drips=True)]
)
def test_everything_ends_in_time_however_slow_the_server_is(tmp_path: Path, server: SmtpServer) -> None:
    began = time.monotonic()

    with server.at(socket_in(tmp_path)) as target, pytest.raises(OutboundUnavailable):
        outbound_to(target, timeout_seconds=0.3).submit(submission("bob@example.net"), MESSAGE)

    assert time.monotonic() - began < 3


def test_a_server_that_takes_one_recipient_at_a_time_gets_a_connection_for_each(tmp_path: Path) -> None:
    server = SmtpServer(rcpt_limit=1)

    with server.at(socket_in(tmp_path)) as target:
        outbound_to(target).submit(submission("a@x", "b@x", "c@x"), MESSAGE)

    assert sorted(taken.rcpts[0] for taken in server.taken) == ["RCPT TO:<a@x>", "RCPT TO:<b@x>", "RCPT TO:<c@x>"]
    assert {taken.content for taken in server.taken} == {b"".join(MESSAGE)}


def test_such_a_server_gets_no_message_before_every_recipient_is_accepted(tmp_path: Path) -> None:
    server = SmtpServer(rcpt_limit=1, replies={"RCPT TO:<c@x>": "550 5.1.1 No"})

    with server.at(socket_in(tmp_path)) as target, pytest.raises(OutboundRefused):
        outbound_to(target).submit(submission("a@x", "b@x", "c@x"), MESSAGE)

    assert not server.taken


def test_trouble_with_the_source_leaves_nothing_at_the_server(tmp_path: Path) -> None:
    class Torn:
        def __iter__(self) -> "Torn":
            return self

        def __next__(self) -> bytes:
            raise StoreUnavailable("the disk")

    server = SmtpServer()

    with server.at(socket_in(tmp_path)) as target, pytest.raises(StoreUnavailable):
        outbound_to(target).submit(submission("a@x"), Torn())

    assert not server.taken


def test_threads_share_a_bounded_number_of_connections(tmp_path: Path) -> None:
    server = SmtpServer()

    with server.at(socket_in(tmp_path)) as target:
        outbound = outbound_to(target, max_connections=3)
        threads = [
            threading.Thread(target=outbound.submit, args=(submission(f"u{index}@x"), (b"%d\r\n" % index,)))
            for index in range(30)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    assert sorted(int(taken.content) for taken in server.taken) == list(range(30))
    assert all(taken.rcpts == [f"RCPT TO:<u{int(taken.content)}@x>"] for taken in server.taken)
    # One more may be seen while the server has not read the end of the connection before.
    assert server.most_at_once <= 6


def test_a_seven_bit_message_is_announced_as_nothing_else(tmp_path: Path) -> None:
    server = SmtpServer()
    wanted = Submission(reverse_path=None, recipients=submission("a@b").recipients, body_type=BodyType.SEVEN_BIT)

    with server.at(socket_in(tmp_path)) as target:
        outbound_to(target).submit(wanted, MESSAGE)

    assert server.taken[0].mail == "MAIL FROM:<>"


def test_mail_for_nobody_is_no_submission() -> None:
    with pytest.raises(ValueError, match="somebody"):
        submission()


def test_a_server_that_hangs_is_left_alone_for_a_while(tmp_path: Path) -> None:
    server, ahead = SmtpServer(hangs_at="EHLO"), [0.0]

    with server.at(socket_in(tmp_path)) as target:
        outbound = SmtpOutbound(
            target, hostname="x", timeout_seconds=0.2, monotonic=lambda: ahead[0] + time.monotonic()
        )
        with pytest.raises(OutboundUnavailable):
            outbound.submit(submission("a@x"), MESSAGE)
        with pytest.raises(OutboundUnavailable, match="a moment ago"):
            outbound.submit(submission("a@x"), MESSAGE)
        ahead[0] = 11.0
        server.hangs_at = None
        outbound.submit(submission("a@x"), MESSAGE)

    assert len(server.taken) == 1
    assert server.connections == 2


def test_a_message_that_finds_no_place_waits_at_its_sender(tmp_path: Path) -> None:
    server = SmtpServer(hangs_at="EHLO")

    with server.at(socket_in(tmp_path)) as target:
        outbound = outbound_to(target, timeout_seconds=1.0, max_connections=1)
        errors: list[str] = []

        def submit() -> None:
            with pytest.raises(OutboundUnavailable) as caught:
                outbound.submit(submission("a@x"), MESSAGE)
            errors.append(str(caught.value))

        threads = [threading.Thread(target=submit) for _ in range(2)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    assert sorted(error.partition(":")[0] for error in errors) == [
        "all connections to the outbound server are in use",
        "the outbound server is silent",
    ]


class Rude:
    """A server that closes at once, or in the middle of a message."""

    def __init__(self, says: bytes) -> None:
        self.says = says
        self.listening = socket.create_server(("127.0.0.1", 0))
        self.thread = threading.Thread(target=self._serve)
        self.thread.start()

    def _serve(self) -> None:
        connection, _ = self.listening.accept()
        with connection:
            connection.sendall(self.says)

    def end(self) -> None:
        self.thread.join()
        self.listening.close()


@pytest.mark.parametrize("says", [b"", b"220 hi\r\n", b"220 hi\r\n250 mx\r\n250 ok\r\n250 ok\r\n354 go\r\n"])
def test_a_server_that_goes_away_is_a_matter_of_time(says: bytes) -> None:
    rude = Rude(says)

    def large() -> Iterator[bytes]:
        for _ in range(200):
            yield b"x" * 100_000

    with pytest.raises(OutboundUnavailable, match=r"gone|silent|closed"):
        outbound_to(f"tcp:127.0.0.1:{rude.listening.getsockname()[1]}").submit(submission("a@x"), list(large()))
    rude.end()


def test_a_parameter_with_a_line_end_makes_no_command(tmp_path: Path) -> None:
    server = SmtpServer()
    wanted = Submission(reverse_path=None, recipients=submission("a@b").recipients, envid="x\r\nRSET")

    with server.at(socket_in(tmp_path)) as target, pytest.raises(OutboundRefused):
        outbound_to(target).submit(wanted, MESSAGE)

    assert "RSET" not in server.lines
