"""A served domain on a real disk whose users have keys and sealed mail, for tests of the access socket."""

from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

from msgstore.access.aio import AccessClient, Session
from msgstore.auth.keyaccess import KeyAccess
from msgstore.auth.provider import PasswordProvider
from msgstore.auth.throttle import Throttle, ThrottleLimits
from msgstore.crypto import PublicKey, SecretKey, seal
from msgstore.model.address import MailboxId
from msgstore.model.folder import INBOX
from msgstore.model.interfaces import Filing
from msgstore.store.maildir.layout import Layout
from msgstore.store.maildir.store import MaildirStore
from tests.accessd.test_real_stores import served
from tests.auth.key_room import DOMAIN, KeyRoom, keyring_under
from tests.crypto.vectors import CHEAP, PUBLIC, golden_key

ALICE = MailboxId("alice", DOMAIN)
PASSWORD = "old"
SUBJECT = b"Quarterly figures, not for the press"
TEXT = b"Subject: " + SUBJECT + b"\r\n\r\nfirst line\r\nsecond line\r\n"


class Uncounted:
    """Where attempts are not counted."""

    def count_auth(self, *, domain: str, success: bool) -> None:
        del domain, success


class KeyHouse(KeyRoom):
    """Alice has the golden key under her password, Bob has none."""

    def __init__(self, place: Path, **settings: object) -> None:
        super().__init__(place, **settings)
        self.store = MaildirStore(str(place), layout_for=lambda _: Layout(), hostname="test.example")
        self.store.create_mailbox(ALICE)
        with golden_key() as key:
            assert self.changes.add(self.account(), content=keyring_under(key, b"old"), public=key.public)
        self.auth = PasswordProvider(
            self.directory, Throttle(ThrottleLimits(), self.clock), profile=CHEAP, counter=Uncounted()
        )
        self.access = KeyAccess(self.directory, self.keys, profile=CHEAP)
        self.path = ""

    def put(self, octets: bytes, *, sealed: bool = True) -> None:
        """Deliver octets as they are."""
        with self.store.stage(sealed=sealed) as staged:
            staged.write(octets)
            filed = next(iter(self.store.deliver(staged, [Filing(mailbox=ALICE, folder=INBOX)])))
            assert not isinstance(filed, Exception)

    def put_sealed(self, text: bytes = TEXT, key: PublicKey | None = None) -> bytes:
        """Deliver a sealed message; gives the blob."""
        blob = bytes(seal(text, key or PublicKey(PUBLIC)))
        self.put(blob)
        return blob

    def files(self) -> bytes:
        """Give every octet of every file below."""
        return b"".join(path.read_bytes() for path in self.place.rglob("*") if path.is_file())

    @asynccontextmanager
    async def client(self) -> AsyncGenerator[AccessClient]:
        async with AccessClient.connect(self.path) as client:
            yield client

    @asynccontextmanager
    async def session(self, *, opens_mail: bool = True) -> AsyncGenerator[Session]:
        async with AccessClient.connect(self.path) as client:
            yield await client.login(str(ALICE), PASSWORD, service="imap", opens_mail=opens_mail)


@asynccontextmanager
async def key_house(place: Path, *, opens_keys: bool = False, **settings: object) -> AsyncGenerator[KeyHouse]:
    """Serve one."""
    house = KeyHouse(place / "data", **settings)
    async with AsyncExitStack() as stack:
        house.path = await stack.enter_async_context(
            served(house.store, place / "sock", auth=house.auth, keys=house.access, opens_keys=opens_keys)
        )
        yield house
    house.store.close()


def another_key() -> SecretKey:
    return SecretKey.copy_of(bytes(range(101, 133)))
