from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from msgstore.auth.directory import Directory
from msgstore.auth.domains import Domains
from msgstore.config.loader import settings_from
from msgstore.config.schema import Settings
from msgstore.delivery.agent import Agent
from msgstore.delivery.filter import DetailFilter
from msgstore.delivery.forwarding import Forwarder
from msgstore.delivery.resolve import Resolver
from msgstore.delivery.rewriting import Rewriter
from msgstore.model.address import MailboxId, parse_address
from msgstore.model.envelope import BodyType, ClientIdentity, Envelope
from msgstore.model.errors import (
    DirectoryUnavailable,
    OutboundRefused,
    OutboundUnavailable,
    QuotaExceeded,
    UserNotFound,
)
from msgstore.model.folder import INBOX
from msgstore.model.interfaces import MessageStore
from msgstore.model.result import DeliveryResult, EnhancedStatus, Outcome
from msgstore.store.maildir.layout import Layout
from msgstore.store.maildir.store import MaildirStore
from msgstore.store.memory import MemoryStore
from msgstore.wiring import SystemClock
from tests.delivery.collecting import CollectingOutbound, Counted

MESSAGE = b"From: a@b\r\nSubject: hi\r\n\r\n.body\r\n"
FORWARDS = """\
away:x@far.example
both:alice@example.com,x@far.example
many:x@far.example,y@far.example,z@far.example
alias:alice@example.com
two:alice@example.com,bob@example.com
"""


class House:
    def __init__(self, tmp_path: Path, store: MessageStore | None = None, **settings: object) -> None:
        (tmp_path / "example.com").mkdir()
        (tmp_path / "example.com" / "passwd").write_text("alice:h:alice\nbob:h:bob\n")
        (tmp_path / "example.com" / "forwards").write_text(FORWARDS)
        loaded: Settings = settings_from({"data_dir": str(tmp_path), **settings})
        self.store = store or MemoryStore(clock=SystemClock())
        self.counted = Counted()
        self.outbound = CollectingOutbound()
        directory = Directory(loaded, Domains(loaded))
        rewriter = Rewriter(loaded.outbound, clock=SystemClock())
        self.agent = Agent(
            store=self.store,
            resolver=Resolver(directory, rewriter=rewriter, sends_on=True),
            routing=DetailFilter(self.store),
            counter=self.counted,
            clock=SystemClock(),
            hostname="store.example.com",
            forwarder=Forwarder(
                self.outbound,
                counter=self.counted,
                hostname="store.example.com",
                is_hosted=directory.domains.is_hosted,
                rewriter=rewriter,
            ),
        )

    def deliver(
        self,
        *paths: str,
        reverse_path: str | None = "sender@example.net",
        message: Sequence[bytes] = (MESSAGE,),
        body_type: BodyType = BodyType.SEVEN_BIT,
        smtputf8: bool = False,
    ) -> tuple[DeliveryResult, ...]:
        envelope = Envelope(
            reverse_path=None if reverse_path is None else parse_address(reverse_path),
            recipients=tuple(
                self.agent.accept(parse_address(path), orcpt="rfc822;o@x", notify=("FAILURE",)) for path in paths
            ),
            received_at=1_000_000_000.0,
            client=ClientIdentity(helo="mx.example.net"),
            body_type=body_type,
            smtputf8=smtputf8,
            envid="E1",
            ret="HDRS",
        )
        return self.agent.deliver(envelope, iter(message))

    def stored(self, name: str) -> list[bytes]:
        mailbox = MailboxId(name, "example.com")
        if not self.store.mailbox_exists(mailbox):
            return []
        place = self.store.folder(mailbox, INBOX)
        texts: list[bytes] = []
        for info in place.list():
            with place.retrieve(info.uid) as body:
                texts.append(b"".join(body.chunks()))
        return texts


@pytest.fixture
def house(tmp_path: Path) -> House:
    return House(tmp_path)


def test_a_message_is_sent_on_as_it_came_behind_the_lines_of_one_hop(house: House) -> None:
    (result,) = house.deliver("away@example.com")

    assert (result.reply_code, str(result.status), result.outcome) == (250, "2.0.0", Outcome.REDIRECTED)
    ((submission, content),) = house.outbound.sent
    assert str(submission.reverse_path) == "sender@example.net"
    (recipient,) = submission.recipients
    assert (str(recipient.address), recipient.orcpt, recipient.notify) == ("x@far.example", "rfc822;o@x", ("FAILURE",))
    assert (submission.envid, submission.ret, submission.octets) == ("E1", "HDRS", len(content))
    assert content.startswith(b"Delivered-To: away@example.com\r\nReceived: from mx.example.net\r\n")
    assert content.endswith(b"+0000\r\n" + MESSAGE)
    assert b"Return-Path" not in content
    assert not house.stored("away")
    assert house.counted.deliveries == ["success"]
    assert house.counted.events == ["sent_on"]


def test_an_alias_is_a_delivery_to_the_user(house: House) -> None:
    results = house.deliver("alias@example.com", "two@example.com")

    assert [result.outcome for result in results] == [Outcome.STORED, Outcome.STORED]
    assert [str(place.mailbox) for place in results[1].filed] == ["alice@example.com", "bob@example.com"]
    assert len(house.stored("bob")) == 1
    assert house.outbound.asked == 0


def test_a_forward_may_keep_a_copy_here(house: House) -> None:
    (result,) = house.deliver("both@example.com")

    assert result.outcome is Outcome.STORED
    assert [len(house.stored("alice")), house.outbound.recipients()] == [1, [["x@far.example"]]]


@pytest.mark.parametrize(
    ("error", "code", "status", "event"),
    [
        (OutboundUnavailable("gone"), 451, "4.4.0", "send_unavailable"),
        (OutboundRefused("no", EnhancedStatus(5, 1, 1)), 550, "5.1.1", "send_refused"),
    ],
)
def test_what_cannot_be_sent_on_lies_nowhere_and_harms_no_other_recipient(
    house: House, error: OutboundUnavailable | OutboundRefused, code: int, status: str, event: str
) -> None:
    house.outbound.error = error

    results = house.deliver("both@example.com", "bob@example.com")

    assert [(one.reply_code, str(one.status)) for one in results] == [(code, status), (250, "2.0.0")]
    assert not house.stored("alice")
    assert len(house.stored("bob")) == 1
    assert house.counted.events == [event]
    assert house.counted.deliveries == ["failed" if code == 451 else "rejected", "success"]
    assert "gone" not in results[0].text


def test_nothing_is_sent_on_when_a_mailbox_of_the_same_forward_is_full(tmp_path: Path) -> None:
    house = House(tmp_path, quota={"messages": 1})
    accepted = house.agent.accept(parse_address("both@example.com"))
    house.deliver("alice@example.com")

    with pytest.raises(QuotaExceeded):
        house.agent.accept(parse_address("both@example.com"))
    (result,) = house.agent.deliver(
        Envelope(reverse_path=None, recipients=(accepted,), received_at=1e9, client=ClientIdentity()), iter([MESSAGE])
    )

    assert result.reply_code == 452
    assert house.outbound.asked == 0
    assert house.agent.accept(parse_address("both@example.com"), ignores_quota=True)


def test_all_targets_are_one_submission_and_a_repeated_recipient_is_not_sent_twice(house: House) -> None:
    results = house.deliver("many@example.com", "Many@example.com")

    assert [result.reply_code for result in results] == [250, 250]
    assert house.outbound.recipients() == [["x@far.example", "y@far.example", "z@far.example"]]


def test_a_message_that_comes_back_ends_here(house: House) -> None:
    house.deliver("away@example.com")
    ((_, sent),) = house.outbound.sent

    (result,) = house.deliver("away@example.com", message=(sent,))

    assert (result.reply_code, str(result.status)) == (554, "5.4.6")
    assert house.outbound.asked == 1


def test_where_nothing_takes_mail_for_elsewhere_the_sender_keeps_it(tmp_path: Path) -> None:
    house = House(tmp_path)
    settings = settings_from({"data_dir": str(tmp_path)})
    resolver = Resolver(Directory(settings, Domains(settings)))

    with pytest.raises(OutboundUnavailable):
        resolver.resolve(parse_address("away@example.com"), orcpt=None, notify=())

    assert resolver.recall(parse_address("away@example.com"), orcpt=None, notify=()) is None
    assert resolver.resolve(parse_address("alias@example.com"), orcpt=None, notify=()).forward is None
    assert house.agent.accept(parse_address("away@example.com")).forward is not None


def test_a_forward_is_recalled_from_memory(house: House) -> None:
    first = house.agent.accept(parse_address("both@example.com"))

    assert house.agent.recall(parse_address("both@example.com")) == first


def test_binary_content_is_refused_rather_than_changed(house: House) -> None:
    (result,) = house.deliver("away@example.com", body_type=BodyType.BINARY_MIME)

    assert (result.reply_code, str(result.status)) == (550, "5.6.3")


@pytest.mark.parametrize(("subject", "needs"), [(b"hi", False), ("h\u00ef".encode(), True)])
def test_smtputf8_is_asked_for_where_the_header_needs_it(house: House, subject: bytes, *, needs: bool) -> None:
    house.deliver("away@example.com", message=(b"Subject: " + subject + b"\r\n\r\nx\r\n",), smtputf8=True)

    assert house.outbound.sent[0][0].smtputf8 == needs


@pytest.mark.parametrize("line_endings", ["crlf", "lf"])
def test_a_large_message_goes_from_the_disk_in_pieces(tmp_path: Path, line_endings: str) -> None:
    assert line_endings in ("crlf", "lf")
    store = MaildirStore(
        str(tmp_path / "mail"), layout_for=lambda _: Layout(), line_endings="lf" if line_endings == "lf" else "crlf"
    )
    house = House(tmp_path, store)
    line = b"x" * 70 + b"\r\n"

    def octets() -> Iterator[bytes]:
        yield MESSAGE
        for _ in range(3000):
            yield line * 16

    house.deliver("both@example.com", message=list(octets()))

    ((_, content),) = house.outbound.sent
    assert content.replace(b"\r\n", b"\n").endswith((MESSAGE + line * 48_000).replace(b"\r\n", b"\n"))
    assert content.count(b"Received:") == 1
    assert house.outbound.largest_piece <= 1 << 20
    store.close()


def srs_house(tmp_path: Path, srs: str = "on") -> House:
    (tmp_path / "secrets").write_text("tops3cr3t\n")
    return House(
        tmp_path,
        outbound={"srs": srs, "srs_domain": "example.com", "srs_secret_file": str(tmp_path / "secrets")},
    )


def test_a_foreign_reverse_path_is_rewritten_and_its_bounce_finds_the_sender(tmp_path: Path) -> None:
    house = srs_house(tmp_path)
    house.deliver("away@example.com")
    rewritten = house.outbound.sent[0][0].reverse_path
    assert rewritten is not None
    assert rewritten.local_part.startswith("SRS0=")

    (result,) = house.deliver(str(rewritten), reverse_path=None)

    assert result.outcome is Outcome.REDIRECTED
    assert house.outbound.recipients()[1] == ["sender@example.net"]
    assert house.outbound.sent[1][0].reverse_path is None


@pytest.mark.parametrize("reverse_path", [None, "alice@example.com", "bare"])
def test_our_own_senders_and_the_null_one_stay_what_they_are(tmp_path: Path, reverse_path: str | None) -> None:
    house = srs_house(tmp_path)

    house.deliver("away@example.com", reverse_path=reverse_path)

    sent = house.outbound.sent[0][0].reverse_path
    assert (None if sent is None else str(sent)) == reverse_path


def test_a_rewritten_address_that_is_not_ours_is_an_unknown_user(tmp_path: Path) -> None:
    house = srs_house(tmp_path)

    for local in ("SRS0=abcd=G3=example.net=sender", "SRS0=x", "srs1=abcd=a==b"):
        with pytest.raises(UserNotFound):
            house.agent.accept(parse_address(f"{local}@example.com"))


def test_a_bounce_for_a_sender_who_lives_here_now_is_delivered(tmp_path: Path) -> None:
    house = srs_house(tmp_path)
    rewriter = Rewriter(
        settings_from(
            {"outbound": {"srs": "on", "srs_domain": "example.com", "srs_secret_file": str(tmp_path / "secrets")}}
        ).outbound,
        clock=SystemClock(),
    )

    house.deliver(str(rewriter.rewrite(parse_address("alice@example.com"))), reverse_path=None)

    assert len(house.stored("alice")) == 1


def test_while_rewriting_is_off_bounces_of_before_still_find_their_way(tmp_path: Path) -> None:
    house = srs_house(tmp_path, "off")
    on = Rewriter(
        settings_from(
            {"outbound": {"srs": "on", "srs_domain": "example.com", "srs_secret_file": str(tmp_path / "secrets")}}
        ).outbound,
        clock=SystemClock(),
    )

    house.deliver("away@example.com")
    house.deliver(str(on.rewrite(parse_address("sender@example.net"))), reverse_path=None)

    assert str(house.outbound.sent[0][0].reverse_path) == "sender@example.net"
    assert house.outbound.recipients()[1] == ["sender@example.net"]


def test_secrets_that_cannot_be_read_make_mail_wait(tmp_path: Path) -> None:
    house = srs_house(tmp_path)
    (tmp_path / "secrets").unlink()

    (result,) = house.deliver("away@example.com")
    with pytest.raises(DirectoryUnavailable):
        house.agent.accept(parse_address("SRS0=abcd=G3=example.net=sender@example.com"))

    assert result.reply_code == 451
    assert house.outbound.asked == 0
