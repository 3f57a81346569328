"""Mail that comes sealed, and mail that is sealed as it is delivered: what lies on the disk, and who is told what."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from msgstore.config.loader import settings_from
from msgstore.crypto import PublicKey, SecretKey, open_sealed, seal
from msgstore.crypto.password import hash_password
from msgstore.delivery.holding import HeldMessage, MemoryBudget
from msgstore.model.address import MailboxId, parse_address
from msgstore.model.envelope import SEAL_ALGORITHM, SEAL_OVERHEAD_OCTETS, ClientIdentity, EncryptionInfo, Envelope
from msgstore.model.errors import KeyUnreadable, MsgstoreError, Overloaded, StoreUnavailable
from msgstore.model.folder import INBOX, FolderName
from msgstore.model.keys import KeyMalformed, KeyRequired, KeyRequiredForGood
from msgstore.model.message import MessageInfo
from msgstore.model.result import DeliveryResult
from msgstore.wiring import DeliveryParts, build_delivery
from tests.crypto.vectors import CHEAP

SECRET_LINE = b"the meeting is at a quarter past nine"
SUBJECT = b"Quarterly figures, not for the press"
MESSAGE = b"From: a@example.net\r\nSubject: " + SUBJECT + b"\r\n\r\n" + SECRET_LINE + b"\r\n"
SEALS = {"policy": "opportunistic"}
NAMES = ("alice", "bob", "carol")


class Room:
    """A domain on a real disk; alice and bob have keys, carol has none."""

    def __init__(self, place: Path, **settings: object) -> None:
        self.place = place / "data"
        self.users = self.place / "example.com" / "users"
        self.keys = {name: SecretKey.generate() for name in ("alice", "bob")}
        (self.place / "example.com").mkdir(parents=True)
        stored = hash_password(b"old", CHEAP)
        (self.place / "example.com" / "passwd").write_text("".join(f"{name}:{stored}:{name}\n" for name in NAMES))
        self.parts: DeliveryParts = build_delivery(
            settings_from({"data_dir": str(self.place), "encryption": SEALS, **settings})
        )
        for name in NAMES:
            self.parts.store.create_mailbox(MailboxId(name, "example.com"))
        for name, key in self.keys.items():
            (self.users / name / "keyring.pub").write_bytes(key.public.octets)

    def envelope(self, *names: str, encryption: EncryptionInfo | None = None) -> Envelope:
        paths = [parse_address(f"{name}@example.com") for name in names]
        return Envelope(
            reverse_path=parse_address("sender@example.net"),
            recipients=tuple(self.parts.agent.accept(path) for path in paths),
            received_at=1_000_000_000.0,
            client=ClientIdentity(helo="mx.example.net"),
            encryption=encryption,
        )

    def deliver(
        self, *names: str, message: bytes = MESSAGE, encryption: EncryptionInfo | None = None
    ) -> tuple[DeliveryResult, ...]:
        return self.parts.agent.deliver(self.envelope(*names, encryption=encryption), iter([message]))

    def infos(self, name: str, folder: FolderName = INBOX) -> tuple[MessageInfo, ...]:
        return tuple(self.parts.store.folder(MailboxId(name, "example.com"), folder).list())

    def stored(self, name: str, folder: FolderName = INBOX) -> list[bytes]:
        box = self.parts.store.folder(MailboxId(name, "example.com"), folder)
        found: list[bytes] = []
        for info in box.list():
            with box.retrieve(info.uid) as body:
                found.append(b"".join(body.chunks()))
        return found

    def opened(self, name: str, folder: FolderName = INBOX) -> list[bytes]:
        return [bytes(open_sealed(blob, self.keys[name])) for blob in self.stored(name, folder)]

    def plain_places(self) -> list[str]:
        """Name the files of the data tree in which a line of the message can be read."""
        return [
            str(path.relative_to(self.place))
            for path in sorted(self.place.rglob("*"))
            if path.is_file() and any(line in path.read_bytes() for line in (SECRET_LINE, SUBJECT))
        ]


@pytest.fixture
def open_room(tmp_path: Path) -> Iterator[Callable[..., Room]]:
    made: list[Room] = []

    def opened(**settings: object) -> Room:
        made.append(Room(tmp_path, **settings))
        return made[-1]

    yield opened
    for one in made:
        one.parts.close()


@pytest.fixture
def room(open_room: Callable[..., Room]) -> Room:
    return open_room()


@pytest.mark.parametrize("size", [0, 70_000, 3_000_000])
def test_who_has_a_key_gets_nothing_but_ciphertext(room: Room, size: int) -> None:
    message = MESSAGE + b"x" * size

    (result,) = room.deliver("alice", message=message)

    assert result.reply_code == 250
    assert room.plain_places() == []
    (opened,) = room.opened("alice")
    assert opened.endswith(message)
    assert opened.startswith(b"Return-Path: <sender@example.net>\r\n")
    (info,) = room.infos("alice")
    assert (info.sealed, info.octets) == (True, len(opened))


def test_one_transaction_serves_recipients_with_and_without_keys(room: Room) -> None:
    results = room.deliver("carol", "alice", "bob", "alice")

    assert [one.reply_code for one in results] == [250] * 4
    assert [str(one.forward_path).partition("@")[0] for one in results] == ["carol", "alice", "bob", "alice"]
    assert [len(room.stored(name)) for name in NAMES] == [1, 1, 1]
    (plain,) = room.stored("carol")
    assert room.opened("alice") == room.opened("bob") == [plain]
    assert not room.infos("carol")[0].sealed
    assert [place.split("/")[2] for place in room.plain_places()] == ["carol"]


def test_a_script_files_flags_and_edits_what_is_sealed_afterwards(room: Room) -> None:
    (room.users / "alice" / ".sieve").write_text(
        'require ["fileinto", "mailbox", "imap4flags", "editheader", "copy"];\n'
        'if header :contains "subject" "figures" { addflag "\\\\Flagged"; fileinto :copy :create "Money"; }\n'
        'addheader "X-Seen" "yes";\n'
    )

    (result,) = room.deliver("alice")

    assert result.reply_code == 250
    assert room.plain_places() == []
    assert len(room.opened("alice", FolderName(("Money",)))) == 1
    (inbox,) = room.opened("alice")
    assert b"X-Seen: yes\r\n" in inbox
    assert SUBJECT in inbox


def test_the_warning_of_a_mailbox_that_fills_up_is_sealed_too(open_room: Callable[..., Room]) -> None:
    room = open_room(quota={"octets": 2000, "warn_percent": [10]})

    room.deliver("alice")

    assert len(room.opened("alice")) == 2
    assert any(b"Your mailbox is" in text for text in room.opened("alice"))
    assert not any(b"Your mailbox is" in text for text in room.stored("alice"))


@pytest.mark.parametrize(("refusal", "error"), [("temporary", KeyRequired), ("permanent", KeyRequiredForGood)])
def test_without_a_key_mail_is_refused_where_it_must_be_sealed(
    open_room: Callable[..., Room], refusal: str, error: type[MsgstoreError]
) -> None:
    room = open_room(encryption={"policy": "required", "refusal": refusal})

    with pytest.raises(error):
        room.envelope("carol")

    (result,) = room.deliver("alice")
    assert result.reply_code == 250


def test_the_policy_off_keeps_mail_as_it_comes(open_room: Callable[..., Room]) -> None:
    room = open_room(domains={"example.com": {"encryption": "off"}}, encryption={"policy": "required"})

    room.deliver("alice")

    assert [SECRET_LINE in text for text in room.stored("alice")] == [True]


def _short(key: Path) -> None:
    key.write_bytes(b"k" * 31)


def _link(key: Path) -> None:
    key.rename(key.with_name("elsewhere"))
    key.symlink_to("elsewhere")


def _directory(key: Path) -> None:
    key.unlink()
    key.mkdir()


@pytest.mark.parametrize(
    ("damage", "error"), [(_short, KeyMalformed), (_link, KeyUnreadable), (_directory, KeyUnreadable)]
)
def test_a_key_that_cannot_be_used_is_never_taken_for_none(
    room: Room, damage: Callable[[Path], None], error: type[MsgstoreError]
) -> None:
    damage(room.users / "alice" / "keyring.pub")

    with pytest.raises(error) as refused:
        room.envelope("alice")

    assert (refused.value.reply_code, str(refused.value.status)) == (451, "4.7.5")


def test_what_is_known_of_keys_is_recalled_without_the_disk(room: Room) -> None:
    path = parse_address("alice@example.com")
    assert room.parts.agent.recall(path) is None

    found = room.parts.agent.accept(path)

    assert found.seal_to == room.keys["alice"].public.octets
    assert room.parts.agent.recall(path) == found


def test_a_key_with_which_anybody_could_open_the_mail_is_refused_for_its_owner_alone(
    open_room: Callable[..., Room],
) -> None:
    room = open_room()
    (room.users / "alice" / "keyring.pub").write_bytes(bytes(32))

    results = room.deliver("alice", "bob", "carol")

    assert [one.reply_code for one in results] == [451, 250, 250]
    assert room.stored("alice") == []


def sealed_for(room: Room, name: str) -> tuple[bytes, EncryptionInfo]:
    blob = bytes(seal(MESSAGE, PublicKey(room.keys[name].public.octets)))
    return blob, EncryptionInfo(algorithm=SEAL_ALGORITHM, encrypted=True, plaintext_octets=len(MESSAGE))


@pytest.mark.parametrize("policy", ["off", "opportunistic", "required"])
def test_what_comes_sealed_is_kept_octet_for_octet(open_room: Callable[..., Room], policy: str) -> None:
    room = open_room(encryption={"policy": policy})
    blob, encryption = sealed_for(room, "alice")

    (result,) = room.deliver("alice", message=blob, encryption=encryption)

    assert result.reply_code == 250
    assert room.stored("alice") == [blob]
    assert room.opened("alice") == [MESSAGE]
    assert [(info.sealed, info.octets) for info in room.infos("alice")] == [(True, len(MESSAGE))]


@pytest.mark.parametrize("cut", [0, 1, SEAL_OVERHEAD_OCTETS - 1, SEAL_OVERHEAD_OCTETS, -1])
def test_a_blob_that_did_not_come_whole_is_left_with_who_sent_it(room: Room, cut: int) -> None:
    blob, encryption = sealed_for(room, "alice")

    (result,) = room.deliver("alice", message=blob[:cut], encryption=encryption)

    assert (result.reply_code, str(result.status)) == (451, "4.7.5")
    assert room.stored("alice") == []


def test_another_algorithm_is_refused(room: Room) -> None:
    encryption = EncryptionInfo(algorithm="rot13", encrypted=True, plaintext_octets=None)

    (result,) = room.deliver("alice", message=b"x" * 100, encryption=encryption)

    assert (result.reply_code, str(result.status)) == (550, "5.7.6")


def test_a_script_sees_the_envelope_of_what_comes_sealed_and_sends_nothing_of_it(room: Room) -> None:
    (room.users / "alice" / ".sieve").write_text(
        'require ["fileinto", "mailbox", "envelope", "copy"];\n'
        'redirect :copy "elsewhere@example.net";\n'
        'if envelope "from" "sender@example.net" { fileinto :create "Known"; }\n'
    )
    blob, encryption = sealed_for(room, "alice")

    (result,) = room.deliver("alice", message=blob, encryption=encryption)

    assert result.reply_code == 250
    assert room.stored("alice", FolderName(("Known",))) == [blob]


def test_what_is_held_has_a_bound_and_is_given_back(open_room: Callable[..., Room]) -> None:
    room = open_room(encryption={**SEALS, "memory_octets": 200_000})

    (result,) = room.deliver("alice", message=MESSAGE + b"x" * 300_000)
    assert (result.reply_code, str(result.status)) == (451, "4.3.2")
    (again,) = room.deliver("alice")

    assert again.reply_code == 250


def test_a_held_message_is_given_back_as_it_was_written_and_then_gone() -> None:
    budget = MemoryBudget(10_000_000)
    with HeldMessage(budget) as held:
        for _ in range(1000):
            held.write(b"Subject: x\r\n")
            held.write(bytearray(b"Y: y\r\n"))
        held.write(memoryview(b"\r\nbody"))

        assert b"".join(held.chunks()) == (b"Subject: x\r\nY: y\r\n") * 1000 + b"\r\nbody"
        assert held.header_block == (b"Subject: x\r\nY: y\r\n") * 1000 + b"\r\n"
        assert held.octets == 18_006
    held.discard()
    with pytest.raises(StoreUnavailable):
        held.write(b"more")
    with pytest.raises(StoreUnavailable):
        list(held.chunks())
    budget.take(10_000_000)
    with pytest.raises(Overloaded):
        budget.take(1)


def test_a_user_with_a_policy_of_the_own_is_subject_to_it(open_room: Callable[..., Room]) -> None:
    room = open_room()
    (room.place / "example.com" / "encryption").write_text("alice:off\ncarol:required\n")

    room.deliver("alice", "bob")

    assert MESSAGE in room.stored("alice")[0]
    assert not any(SECRET_LINE in blob for blob in room.stored("bob"))
    with pytest.raises(KeyRequired):
        room.envelope("carol")
