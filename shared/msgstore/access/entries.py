"""The methods of the protocol, one entry each: arguments, result, roles, order, repetition.

To add a method: two classes in a module of shapes, one entry here, one function in ``accessd``.  Both clients can call
it from then on, ``rpc.describe`` tells of it, and the parity test fails until all three exist.
"""

from dataclasses import dataclass
from typing import Any, Final, Generic, Literal, TypeVar

import msgspec

from msgstore.access import (
    bodyshapes,
    changeshapes,
    keyshapes,
    mailshapes,
    scriptshapes,
    searchshapes,
    shapes,
    watchshapes,
)

__all__ = ["PROTO", "Method", "entries"]

PROTO: Final = 1
"""Major version of the protocol."""

Role = Literal["pop3", "imap", "smtp", "admin"]
Args = TypeVar("Args", bound=msgspec.Struct)
Result = TypeVar("Result")

_EVERY: Final[frozenset[Role]] = frozenset({"pop3", "imap", "smtp", "admin"})
_MAIL: Final[frozenset[Role]] = frozenset({"pop3", "imap", "admin"})
_IMAP: Final[frozenset[Role]] = frozenset({"imap", "admin"})
_POP3: Final[frozenset[Role]] = frozenset({"pop3", "admin"})
_SMTP: Final[frozenset[Role]] = frozenset({"smtp", "admin"})
_LOGIN: Final[frozenset[Role]] = frozenset({"pop3", "imap", "admin"})
_UPLOAD: Final[frozenset[Role]] = frozenset({"imap", "smtp", "admin"})
_ADMIN: Final[frozenset[Role]] = frozenset({"admin"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Method(Generic[Args, Result]):
    """One method of the protocol."""

    name: str
    args: type[Args]
    result: type[Result]
    roles: frozenset[Role]
    changes: bool = False
    """Whether it runs alone in its session, in the order received."""

    idempotent: bool = True
    """Whether it may be repeated without harm."""

    positional: tuple[str, ...] = ()
    """Keys of the positional form; only the five verbs have one."""

    kind: Literal["request", "from_client", "from_server"] = "request"
    """Requests are answered; the others are notifications."""

    takes_body: bool = False
    """Whether a message comes with it, perhaps as a descriptor: it has the time of a delivery, and once it has come
    whole the end of the connection does not stop it."""

    brings_secret: bool = False
    """Whether a password or a key is among the arguments."""

    is_remembered: bool = False
    """Whether it is done once for each ``_request_id``."""

    since: int = PROTO


RPC_HELLO: Final = Method(name="rpc.hello", args=shapes.HelloArgs, result=shapes.HelloResult, roles=_EVERY)
RPC_PING: Final = Method(name="rpc.ping", args=shapes.NoArgs, result=shapes.PingResult, roles=_EVERY)
RPC_DESCRIBE: Final = Method(name="rpc.describe", args=shapes.NoArgs, result=shapes.DescribeResult, roles=_EVERY)
RPC_STATS: Final = Method(name="rpc.stats", args=shapes.NoArgs, result=shapes.StatsResult, roles=_ADMIN)
RPC_CANCEL: Final = Method(
    name="rpc.cancel", args=shapes.IdArgs, result=shapes.Nothing, roles=_EVERY, kind="from_client"
)
RPC_GOING_AWAY: Final = Method(
    name="rpc.going_away", args=shapes.GoingAway, result=shapes.Nothing, roles=_EVERY, kind="from_server"
)
RPC_FATAL: Final = Method(name="rpc.fatal", args=shapes.NoArgs, result=shapes.Nothing, roles=_EVERY, kind="from_server")
"""Its arguments are ``[code, message]``; the connection is closed after it."""

AUTH_LOGIN: Final = Method(
    name="auth.login",
    args=shapes.LoginArgs,
    result=shapes.LoginResult,
    roles=_LOGIN,
    idempotent=False,
    brings_secret=True,
)
AUTH_VERIFY: Final = Method(
    name="auth.verify",
    args=shapes.VerifyArgs,
    result=shapes.VerifyResult,
    roles=_SMTP,
    idempotent=False,
    brings_secret=True,
)
AUTH_SASL_START: Final = Method(
    name="auth.sasl_start",
    args=shapes.SaslStartArgs,
    result=shapes.SaslResult,
    roles=_EVERY,
    idempotent=False,
    brings_secret=True,
)
AUTH_SASL_STEP: Final = Method(
    name="auth.sasl_step",
    args=shapes.SaslStepArgs,
    result=shapes.SaslResult,
    roles=_EVERY,
    idempotent=False,
    brings_secret=True,
)
AUTH_LOGOUT: Final = Method(
    name="auth.logout", args=shapes.SessionArgs, result=shapes.Nothing, roles=_EVERY, changes=True
)
AUTH_PING: Final = Method(name="auth.ping", args=shapes.SessionArgs, result=shapes.SessionIdle, roles=_EVERY)
AUTH_LOOKUP: Final = Method(name="auth.lookup", args=shapes.LookupArgs, result=shapes.LookupResult, roles=_SMTP)
AUTH_SESSIONS: Final = Method(
    name="auth.sessions", args=shapes.SessionsArgs, result=shapes.SessionsResult, roles=_ADMIN
)
AUTH_END: Final = Method(name="auth.end", args=shapes.EndArgs, result=shapes.Nothing, roles=_ADMIN)

MAILBOX_OPEN: Final = Method(
    name="mailbox.open", args=mailshapes.OpenArgs, result=mailshapes.OpenResult, roles=_POP3, changes=True
)
MAILBOX_CLOSE: Final = Method(
    name="mailbox.close", args=shapes.SessionArgs, result=shapes.Nothing, roles=_MAIL, changes=True
)
FOLDER_STAT: Final = Method(
    name="folder.stat", args=mailshapes.FolderArgs, result=mailshapes.StatResult, roles=_MAIL, positional=("mailbox",)
)
FOLDER_STATUS: Final = Method(
    name="folder.status", args=mailshapes.FolderStatusArgs, result=mailshapes.FolderStatusResult, roles=_IMAP
)
FOLDER_LIST: Final = Method(
    name="folder.list", args=mailshapes.FolderListArgs, result=mailshapes.FolderListResult, roles=_IMAP
)
FOLDER_CREATE: Final = Method(
    name="folder.create",
    args=changeshapes.CreateArgs,
    result=changeshapes.FolderMade,
    roles=_IMAP,
    changes=True,
    idempotent=False,
    is_remembered=True,
)
FOLDER_DELETE: Final = Method(
    name="folder.delete",
    args=mailshapes.FolderArgs,
    result=shapes.Nothing,
    roles=_IMAP,
    changes=True,
    idempotent=False,
    is_remembered=True,
)
FOLDER_RENAME: Final = Method(
    name="folder.rename",
    args=changeshapes.RenameArgs,
    result=changeshapes.FolderMade,
    roles=_IMAP,
    changes=True,
    idempotent=False,
    is_remembered=True,
)
FOLDER_SUBSCRIBE: Final = Method(
    name="folder.subscribe", args=mailshapes.FolderArgs, result=shapes.Nothing, roles=_IMAP, changes=True
)
FOLDER_UNSUBSCRIBE: Final = Method(
    name="folder.unsubscribe", args=mailshapes.FolderArgs, result=shapes.Nothing, roles=_IMAP, changes=True
)
MAILBOX_QUOTA: Final = Method(
    name="mailbox.quota", args=changeshapes.QuotaArgs, result=changeshapes.QuotaResult, roles=_MAIL
)
MAILBOX_RESCAN: Final = Method(
    name="mailbox.rescan", args=changeshapes.RescanArgs, result=changeshapes.RescanResult, roles=_ADMIN, changes=True
)

MESSAGE_LIST: Final = Method(
    name="message.list", args=mailshapes.ListArgs, result=mailshapes.ListResult, roles=_MAIL, positional=("mailbox",)
)
MESSAGE_RETRIEVE: Final = Method(
    name="message.retrieve",
    args=mailshapes.RetrieveArgs,
    result=mailshapes.RetrieveResult,
    roles=_MAIL,
    positional=("mailbox", "uid"),
)
MESSAGE_FETCH: Final = Method(
    name="message.fetch", args=mailshapes.FetchArgs, result=mailshapes.FetchResult, roles=_MAIL
)
MESSAGE_HEADERS: Final = Method(
    name="message.headers", args=mailshapes.HeadersArgs, result=mailshapes.HeadersResult, roles=_MAIL
)
MESSAGE_READ: Final = Method(name="message.read", args=mailshapes.ReadArgs, result=bytes, roles=_MAIL)
MESSAGE_RELEASE: Final = Method(name="message.release", args=mailshapes.ReleaseArgs, result=shapes.Nothing, roles=_MAIL)
MESSAGE_DELETE: Final = Method(
    name="message.delete",
    args=mailshapes.DeleteArgs,
    result=mailshapes.DeleteResult,
    roles=_MAIL,
    changes=True,
    positional=("mailbox", "uid"),
)
MESSAGE_UNDELETE: Final = Method(
    name="message.undelete", args=mailshapes.UndeleteArgs, result=mailshapes.UndeleteResult, roles=_MAIL, changes=True
)
MESSAGE_EXPUNGE: Final = Method(
    name="message.expunge",
    args=mailshapes.ExpungeArgs,
    result=mailshapes.ExpungeResult,
    roles=_MAIL,
    changes=True,
    positional=("mailbox",),
    is_remembered=True,
)
MESSAGE_SET_FLAGS: Final = Method(
    name="message.set_flags",
    args=changeshapes.SetFlagsArgs,
    result=changeshapes.SetFlagsResult,
    roles=_IMAP,
    changes=True,
    is_remembered=True,
)
MESSAGE_COPY: Final = Method(
    name="message.copy",
    args=changeshapes.TransferArgs,
    result=changeshapes.TransferResult,
    roles=_IMAP,
    changes=True,
    idempotent=False,
    is_remembered=True,
)
MESSAGE_MOVE: Final = Method(
    name="message.move",
    args=changeshapes.TransferArgs,
    result=changeshapes.TransferResult,
    roles=_IMAP,
    changes=True,
    idempotent=False,
    is_remembered=True,
)
MESSAGE_STAGE: Final = Method(
    name="message.stage", args=bodyshapes.StageArgs, result=bodyshapes.StageResult, roles=_UPLOAD, idempotent=False
)
MESSAGE_WRITE: Final = Method(
    name="message.write", args=bodyshapes.WriteArgs, result=bodyshapes.WriteResult, roles=_UPLOAD, idempotent=False
)
MESSAGE_DISCARD: Final = Method(
    name="message.discard", args=bodyshapes.DiscardArgs, result=shapes.Nothing, roles=_UPLOAD
)
MESSAGE_APPEND: Final = Method(
    name="message.append",
    args=bodyshapes.AppendArgs,
    result=bodyshapes.AppendResult,
    roles=_IMAP,
    changes=True,
    idempotent=False,
    takes_body=True,
    is_remembered=True,
)
DELIVER_MESSAGE: Final = Method(
    name="deliver.message",
    args=bodyshapes.DeliverArgs,
    result=bodyshapes.DeliverResult,
    roles=_SMTP,
    idempotent=False,
    takes_body=True,
    is_remembered=True,
)
MESSAGE_SEARCH: Final = Method(
    name="message.search", args=searchshapes.SearchArgs, result=searchshapes.SearchResult, roles=_IMAP
)

KEY_PUBLIC: Final = Method(
    name="key.public", args=keyshapes.KeyAddressArgs, result=keyshapes.PublicKeyResult, roles=_SMTP
)
KEY_HAS: Final = Method(name="key.has", args=keyshapes.KeyAddressArgs, result=keyshapes.HasKeyResult, roles=_SMTP)
KEY_WRAPPED: Final = Method(name="key.wrapped", args=shapes.SessionArgs, result=keyshapes.WrappedKeyResult, roles=_MAIL)
KEY_CHANGE_PASSWORD: Final = Method(
    name="key.change_password",
    args=keyshapes.NewPasswordArgs,
    result=shapes.Nothing,
    roles=_IMAP,
    changes=True,
    idempotent=False,
    brings_secret=True,
)
"""Not remembered: what is remembered lies on the disk, and a digest of two passwords is no thing to keep there."""

KEY_OPEN: Final = Method(
    name="key.open",
    args=keyshapes.OpenKeyArgs,
    result=shapes.Nothing,
    roles=_IMAP,
    changes=True,
    brings_secret=True,
)
KEY_CLOSE: Final = Method(name="key.close", args=shapes.SessionArgs, result=shapes.Nothing, roles=_IMAP, changes=True)

SCRIPT_CAPABILITIES: Final = Method(
    name="script.capabilities", args=shapes.SessionArgs, result=scriptshapes.ScriptCapabilities, roles=_IMAP
)
SCRIPT_LIST: Final = Method(name="script.list", args=shapes.SessionArgs, result=scriptshapes.ScriptList, roles=_IMAP)
SCRIPT_GET: Final = Method(
    name="script.get", args=scriptshapes.ScriptNameArgs, result=scriptshapes.ScriptText, roles=_IMAP
)
SCRIPT_CHECK: Final = Method(
    name="script.check", args=scriptshapes.ScriptTextArgs, result=scriptshapes.Kept, roles=_IMAP
)
SCRIPT_SPACE: Final = Method(name="script.space", args=scriptshapes.ScriptSpaceArgs, result=shapes.Nothing, roles=_IMAP)
SCRIPT_PUT: Final = Method(
    name="script.put", args=scriptshapes.ScriptPutArgs, result=scriptshapes.Kept, roles=_IMAP, changes=True
)
SCRIPT_ACTIVATE: Final = Method(
    name="script.activate", args=scriptshapes.ScriptNameArgs, result=shapes.Nothing, roles=_IMAP, changes=True
)
SCRIPT_DELETE: Final = Method(
    name="script.delete",
    args=scriptshapes.ScriptNameArgs,
    result=shapes.Nothing,
    roles=_IMAP,
    changes=True,
    idempotent=False,
    is_remembered=True,
)
SCRIPT_RENAME: Final = Method(
    name="script.rename",
    args=scriptshapes.ScriptRenameArgs,
    result=shapes.Nothing,
    roles=_IMAP,
    changes=True,
    idempotent=False,
    is_remembered=True,
)
SCRIPT_GET_RULES: Final = Method(
    name="script.get_rules", args=scriptshapes.ScriptNameArgs, result=scriptshapes.FoundRules, roles=_IMAP
)
SCRIPT_PUT_RULES: Final = Method(
    name="script.put_rules",
    args=scriptshapes.ScriptPutRulesArgs,
    result=scriptshapes.RulesKept,
    roles=_IMAP,
    changes=True,
)

WATCH_START: Final = Method(
    name="watch.start", args=watchshapes.WatchArgs, result=watchshapes.WatchStarted, roles=_IMAP
)
WATCH_STOP: Final = Method(name="watch.stop", args=watchshapes.Watched, result=shapes.Nothing, roles=_IMAP)
WATCH_EVENT: Final = Method(
    name="watch.event", args=watchshapes.WatchEvent, result=shapes.Nothing, roles=_IMAP, kind="from_server"
)


def entries() -> dict[str, Method[Any, Any]]:
    """Give every entry by name, in the order of this module."""
    found: list[Method[Any, Any]] = [value for value in globals().values() if isinstance(value, Method)]
    return {method.name: method for method in found}
