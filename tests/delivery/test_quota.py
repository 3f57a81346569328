"""Quotas where mail is accepted and where it is filed."""

from pathlib import Path

import pytest

from msgstore.auth.directory import Directory
from msgstore.auth.domains import Domains
from msgstore.config.loader import settings_from
from msgstore.delivery.agent import Agent
from msgstore.delivery.filter import DetailFilter
from msgstore.delivery.resolve import Resolver
from msgstore.delivery.warner import QuotaWarner
from msgstore.model.address import MailboxId, parse_address
from msgstore.model.envelope import ClientIdentity, Envelope, Recipient
from msgstore.model.errors import MessageOverQuota, QuotaExceeded, QuotaExceededForGood, StoreUnavailable
from msgstore.model.folder import INBOX
from msgstore.model.message import Uid
from msgstore.model.outcomes import Usage
from msgstore.store.clock import SystemClock
from msgstore.store.maildir.layout import Layout
from msgstore.store.maildir.store import MaildirStore
from msgstore.store.memory import MemoryStore
from tests.delivery.test_agent import Counted

ALICE = parse_address("alice@example.com")
BOX = MailboxId("alice", "example.com")
MESSAGE = b"Subject: x\r\n\r\n" + b"x" * 500


def agent_of(place: Path, store: MaildirStore | MemoryStore, **quota: object) -> Agent:
    (place / "example.com").mkdir(exist_ok=True)
    (place / "example.com" / "passwd").write_text("alice:h:alice\n")
    settings = settings_from({"data_dir": str(place), "quota": quota})
    return Agent(
        store=store,
        resolver=Resolver(Directory(settings, Domains(settings))),
        routing=DetailFilter(store),
        counter=Counted(),
        clock=SystemClock(),
        hostname="store.example.com",
        warner=QuotaWarner(
            store, percents=settings.quota.warn_percent, clock=SystemClock(), hostname="store.example.com"
        ),
    )


def deliver(agent: Agent, recipient: Recipient, *more: Recipient) -> list[tuple[int, str]]:
    envelope = Envelope(
        reverse_path=None, recipients=(recipient, *more), received_at=1e9, client=ClientIdentity(helo="mx")
    )
    return [(result.reply_code, str(result.status)) for result in agent.deliver(envelope, iter([MESSAGE]))]


@pytest.fixture
def store(tmp_path: Path) -> MaildirStore:
    return MaildirStore(str(tmp_path), layout_for=lambda _: Layout(), hostname="test.example")


def test_a_full_mailbox_is_refused_at_rcpt(tmp_path: Path, store: MaildirStore) -> None:
    agent = agent_of(tmp_path, store, warn_percent=[], messages=1)
    first = deliver(agent, agent.accept(ALICE))

    with pytest.raises(QuotaExceeded) as refused:
        agent.accept(ALICE)

    assert first == [(250, "2.0.0")]
    assert (refused.value.reply_code, str(refused.value.status)) == (452, "4.2.2")


def test_the_declared_size_counts_at_rcpt(tmp_path: Path, store: MaildirStore) -> None:
    agent = agent_of(tmp_path, store, octets=1000, over="permanent")
    deliver(agent, agent.accept(ALICE, octets=300))

    with pytest.raises(QuotaExceededForGood) as refused:
        agent.accept(ALICE, octets=900)
    with pytest.raises(MessageOverQuota) as larger:
        agent.accept(ALICE, octets=1001)

    assert (refused.value.reply_code, str(refused.value.status)) == (552, "5.2.2")
    assert (larger.value.reply_code, str(larger.value.status)) == (552, "5.2.3")


@pytest.mark.parametrize(
    ("quota", "answer"),
    [
        ({"octets": 1100}, (452, "4.2.2")),
        ({"octets": 1100, "over": "permanent"}, (552, "5.2.2")),
        ({"messages": 1}, (452, "4.2.2")),
        ({"octets": 300}, (552, "5.2.3")),
    ],
)
@pytest.mark.parametrize("kind", ["memory", "maildir"])
def test_a_message_that_does_not_fit_is_refused_when_it_is_filed(
    tmp_path: Path, store: MaildirStore, kind: str, quota: dict[str, object], answer: tuple[int, str]
) -> None:
    kept = store if kind == "maildir" else MemoryStore(clock=SystemClock())
    agent = agent_of(tmp_path, kept, **quota, warn_percent=[])
    recipient = agent.accept(ALICE)

    found = deliver(agent, recipient) + deliver(agent, recipient)

    assert found[-1] == answer
    assert kept.usage(BOX).messages == (0 if quota.get("octets") == 300 else 1) if kept.mailbox_exists(BOX) else True


def test_a_recipient_that_a_trusted_peer_exempts_has_room(tmp_path: Path, store: MaildirStore) -> None:
    agent = agent_of(tmp_path, store, warn_percent=[], messages=1)
    deliver(agent, agent.accept(ALICE))

    found = deliver(agent, agent.accept(ALICE, ignores_quota=True))
    remembered = agent.recall(ALICE, ignores_quota=True)

    assert found == [(250, "2.0.0")]
    assert remembered is not None
    assert not remembered.quota.is_limited
    assert agent.recall(ALICE) is None


def test_a_refusal_rests_on_a_new_count(tmp_path: Path, store: MaildirStore) -> None:
    agent = agent_of(tmp_path, store, warn_percent=[], messages=2)
    deliver(agent, agent.accept(ALICE))
    size_file = tmp_path / "example.com" / "users" / "alice" / "maildirsize"
    size_file.write_bytes(b"0S,2C\n500 1\n900 5\n")

    found = deliver(agent, agent.accept(ALICE))

    assert found == [(250, "2.0.0")]
    assert store.usage(BOX).messages == 2


def test_mail_is_taken_where_nobody_can_say_what_the_mailbox_holds(tmp_path: Path) -> None:
    class Unknowing(MemoryStore):
        def usage(self, mailbox: MailboxId) -> Usage:
            raise StoreUnavailable(str(mailbox))

    agent = agent_of(tmp_path, Unknowing(clock=SystemClock()), messages=1)

    assert deliver(agent, agent.accept(ALICE)) == [(250, "2.0.0")]


# Warnings.


def subjects(store: MaildirStore | MemoryStore) -> list[str]:
    folder, found = store.folder(BOX, INBOX), list[str]()
    for info in folder.list():
        with folder.retrieve(info.uid) as body:
            text = b"".join(body.chunks()).decode()
        if "Auto-Submitted: auto-generated\r\n" in text:
            found.append(text.partition("Subject: ")[2].partition("\r\n")[0])
    return found


@pytest.mark.parametrize("kind", ["memory", "maildir"])
def test_an_owner_is_told_once_for_each_threshold_and_again_after_it_was_below(
    tmp_path: Path, store: MaildirStore, kind: str
) -> None:
    kept = store if kind == "maildir" else MemoryStore(clock=SystemClock())
    agent = agent_of(tmp_path, kept, messages=10, warn_percent=[50, 90])

    for _ in range(7):
        deliver(agent, agent.accept(ALICE))
    first = subjects(kept)
    deliver(agent, agent.accept(ALICE))
    second = subjects(kept)
    kept.folder(BOX, INBOX).expunge([Uid(uid) for uid in range(1, 10)])
    deliver(agent, agent.accept(ALICE))
    for _ in range(4):
        deliver(agent, agent.accept(ALICE))

    assert first == ["Your mailbox is 50% full"]
    assert second == ["Your mailbox is 50% full", "Your mailbox is 90% full"]
    assert subjects(kept)[-1] == "Your mailbox is 50% full"


def test_a_warning_may_take_a_mailbox_over_its_quota(tmp_path: Path, store: MaildirStore) -> None:
    agent = agent_of(tmp_path, store, messages=1, warn_percent=[100])

    assert deliver(agent, agent.accept(ALICE)) == [(250, "2.0.0")]
    assert store.usage(BOX).messages == 2


def test_trouble_with_a_warning_is_none_of_the_delivery(tmp_path: Path, store: MaildirStore) -> None:
    agent = agent_of(tmp_path, store, messages=1, warn_percent=[100])
    store.create_mailbox(BOX)
    (tmp_path / "example.com" / "users" / "alice" / "msgstore-quota").mkdir()

    assert deliver(agent, agent.accept(ALICE)) == [(250, "2.0.0")]
    assert subjects(store) == []
