from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from msgstore.auth.directory import Directory
from msgstore.auth.domains import Domains
from msgstore.config.loader import settings_from
from msgstore.delivery.agent import Agent
from msgstore.delivery.filter import DetailFilter
from msgstore.delivery.resolve import Resolver
from msgstore.model.address import MailboxId, parse_address
from msgstore.model.envelope import ClientIdentity, Envelope
from msgstore.model.errors import DiskFull, MsgstoreError, StoreUnavailable, UserNotFound
from msgstore.model.folder import INBOX, FolderName
from msgstore.model.interfaces import Filing, StagedMessage
from msgstore.model.result import DeliveryResult, Filed, Outcome
from msgstore.store.memory import MemoryStore
from msgstore.wiring import SystemClock

MESSAGE = b"From: a@b\r\nSubject: hi\r\n\r\nbody\r\n"
ALICE, BOB = MailboxId("alice", "example.com"), MailboxId("bob", "example.com")


class Counted:
    def __init__(self) -> None:
        self.seen: list[tuple[str, str]] = []

    def count_delivery(self, *, domain: str, status: str, seconds: float, octets: int) -> None:
        assert seconds >= 0
        assert octets >= 0
        self.seen.append((domain, status))


class Troubled(MemoryStore):
    """A store whose filing for some mailboxes fails, or whose run breaks off."""

    def __init__(self) -> None:
        super().__init__(clock=SystemClock())
        self.refuse: dict[MailboxId, MsgstoreError] = {}
        self.break_at: int | None = None
        self.folders_gone = False

    def deliver(self, staged: StagedMessage, filings: Sequence[Filing]) -> Iterator[Filed | MsgstoreError]:
        for index, filing in enumerate(filings):
            if self.break_at == index:
                raise RuntimeError("secret internals")
            refusal = self.refuse.get(filing.mailbox)
            if refusal is not None:
                yield refusal
            else:
                yield from super().deliver(staged, [filing])


class House:
    def __init__(self, tmp_path: Path) -> None:
        (tmp_path / "example.com").mkdir()
        (tmp_path / "example.com" / "passwd").write_text("alice:h:alice\nbob:h:bob\n")
        settings = settings_from({"data_dir": str(tmp_path)})
        self.store = Troubled()
        self.counted = Counted()
        self.agent = Agent(
            store=self.store,
            resolver=Resolver(Directory(settings, Domains(settings))),
            routing=DetailFilter(self.store),
            counter=self.counted,
            clock=SystemClock(),
            hostname="store.example.com",
        )

    def envelope(self, *forward_paths: str) -> Envelope:
        recipients = tuple(self.agent.accept(parse_address(path)) for path in forward_paths)
        return Envelope(
            reverse_path=parse_address("sender@example.net"),
            recipients=recipients,
            received_at=1_000_000_000.0,
            client=ClientIdentity(helo="mx.example.net"),
        )

    def deliver(self, *forward_paths: str, message: bytes = MESSAGE) -> tuple[DeliveryResult, ...]:
        return self.agent.deliver(self.envelope(*forward_paths), iter([message]))

    def stored(self, mailbox: MailboxId, folder: FolderName = INBOX) -> list[bytes]:
        place = self.store.folder(mailbox, folder)
        texts: list[bytes] = []
        for info in place.list():
            with place.retrieve(info.uid) as body:
                texts.append(b"".join(body.chunks()))
        return texts


@pytest.fixture
def house(tmp_path: Path) -> House:
    return House(tmp_path)


def test_a_message_lies_in_the_inbox_behind_its_trace_lines(house: House) -> None:
    (result,) = house.deliver("Alice@Example.com")

    assert (result.reply_code, str(result.status), result.outcome) == (250, "2.0.0", Outcome.STORED)
    (text,) = house.stored(ALICE)
    assert text.endswith(MESSAGE)
    assert text.startswith(b"Return-Path: <sender@example.net>\r\nDelivered-To: Alice@Example.com\r\nReceived: from mx")
    assert result.delivery_id.rpartition(".")[0].encode() in text
    assert house.counted.seen == [("example.com", "success")]


def test_each_recipient_gets_one_result_in_order_and_an_id_of_its_own(house: House) -> None:
    results = house.deliver("bob@example.com", "alice@example.com", "bob@example.com")

    assert [str(result.forward_path) for result in results] == [
        "bob@example.com",
        "alice@example.com",
        "bob@example.com",
    ]
    assert len({result.delivery_id for result in results}) == 3
    assert all(result.is_success for result in results)
    assert b"Delivered-To" not in house.stored(ALICE)[0]
    assert b"alice" not in house.stored(BOB)[0]


def test_trouble_of_one_recipient_changes_no_other(house: House) -> None:
    house.store.refuse[ALICE] = DiskFull("none left")

    results = house.deliver("alice@example.com", "bob@example.com")

    assert [result.reply_code for result in results] == [452, 250]
    assert str(results[0].status) == "4.3.1"
    assert house.counted.seen == [("example.com", "failed"), ("example.com", "success")]


@pytest.mark.parametrize("at", [0, 1])
def test_what_nobody_understands_is_temporary_and_tells_the_peer_nothing(house: House, at: int) -> None:
    house.store.break_at = at

    results = house.deliver("alice@example.com", "bob@example.com")

    assert [result.reply_code for result in results] == [250] * at + [451] * (2 - at)
    assert all("secret" not in result.text for result in results)


def test_results_are_reported_as_they_become_final(house: House) -> None:
    incoming = house.agent.open(house.envelope("alice@example.com", "bob@example.com"))
    incoming.write(MESSAGE)
    seen: list[DeliveryResult] = []

    results = incoming.commit(seen.append)

    assert tuple(seen) == results


def test_an_unknown_user_is_refused_before_any_octet(house: House) -> None:
    with pytest.raises(UserNotFound):
        house.envelope("nobody@example.com")


def test_a_detail_chooses_among_folders_that_exist(house: House) -> None:
    house.store.create_mailbox(ALICE)
    house.store.folders(ALICE).create(FolderName(("Work",)))

    house.deliver("alice+Work@example.com")
    house.deliver("alice+work@example.com")
    house.deliver("alice+../../x@example.com".replace("../../", "a/"))
    house.deliver("alice+@example.com")

    assert len(house.stored(ALICE, FolderName(("Work",)))) == 1
    assert len(house.stored(ALICE)) == 3


def test_a_message_that_was_here_before_is_a_loop(house: House) -> None:
    again = b"Delivered-To: ALICE@example.com\r\n" + MESSAGE

    results = house.deliver("alice@example.com", "bob@example.com", message=again)

    assert [(result.reply_code, str(result.status)) for result in results] == [(554, "5.4.6"), (250, "2.0.0")]
    assert house.counted.seen[0] == ("example.com", "rejected")


def test_more_than_a_hundred_hops_are_a_loop(house: House) -> None:
    (under,) = house.deliver("alice@example.com", message=b"Received: x\r\n" * 100 + MESSAGE)
    (over,) = house.deliver("alice@example.com", message=b"Received: x\r\n" * 101 + MESSAGE)

    assert (under.reply_code, over.reply_code) == (250, 554)


def test_a_failed_message_leaves_nothing_and_answers_everybody(house: House) -> None:
    incoming = house.agent.open(house.envelope("alice@example.com", "bob@example.com"))
    incoming.write(MESSAGE)

    results = incoming.fail(DiskFull("none left"))

    assert [result.reply_code for result in results] == [452, 452]
    assert not house.store.mailbox_exists(ALICE)


def test_an_aborted_message_leaves_nothing(house: House) -> None:
    incoming = house.agent.open(house.envelope("alice@example.com"))
    incoming.write(MESSAGE)

    incoming.abort()

    assert not house.store.mailbox_exists(ALICE)


def test_an_empty_message_is_delivered(house: House) -> None:
    (result,) = house.agent.deliver(house.envelope("alice@example.com"), iter(()))

    assert result.is_success
    assert house.stored(ALICE)[0].startswith(b"Return-Path")


def test_recall_answers_from_memory_alone(house: House) -> None:
    address = parse_address("alice@example.com")

    assert house.agent.recall(address) is None
    house.agent.accept(address)
    recipient = house.agent.recall(address, orcpt="rfc822;a@b")

    assert recipient is not None
    assert (recipient.mailbox, recipient.orcpt) == (ALICE, "rfc822;a@b")


@pytest.mark.parametrize("error", [StoreUnavailable("Permission denied (errno 13)"), DiskFull("none left (errno 28)")])
def test_what_the_disk_said_is_in_the_log_with_the_id_of_the_delivery(
    house: House, capsys: pytest.CaptureFixture[str], error: MsgstoreError
) -> None:
    house.store.refuse[ALICE] = error

    results = house.deliver("alice@example.com", "bob@example.com")

    told = [line for line in capsys.readouterr().err.splitlines() if " ERROR " in line]
    assert len(told) == 1
    assert f"delivery_id={results[0].delivery_id}" in told[0]
    assert str(error) in told[0]
    assert str(error) not in results[0].text


def test_one_trouble_of_many_recipients_is_told_once(house: House, capsys: pytest.CaptureFixture[str]) -> None:
    incoming = house.agent.open(house.envelope("alice@example.com", "bob@example.com"))
    incoming.write(MESSAGE)

    incoming.fail(DiskFull("none left"))

    lines = capsys.readouterr().err.splitlines()
    assert [sum(level in line for line in lines) for level in (" ERROR ", " INFO ")] == [1, 2]
