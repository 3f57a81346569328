"""Every method's arguments, from its entry; the description; the errors."""

import json
from typing import Any

import pytest

from msgstore.access import aio, contract, sync
from msgstore.access.codes import CODES, AccessError, error_from_wire, wire_error
from msgstore.access.entries import Method
from msgstore.model import errors, keys

SAMPLES: dict[str, object] = {
    "session": "0" * 64,
    "mailbox": "alice@example.org",
    "folder": "INBOX",
    "folders": ["INBOX"],
    "uid": 1,
    "uids": [1, [2, 3], [4, None]],
    "user": "alice@example.org",
    "password": "secret",
    "service": "pop3",
    "mech": "PLAIN",
    "step": "0",
    "old": "secret",
    "new": "another",
    "private_key": bytes(32),
    "data": b"",
    "address": "alice@example.org",
    "id": 1,
    "handle": 1,
    "offset": 0,
    "octets": 1,
    "grace_ms": 1,
    "new_folder": "Work",
    "to_folder": "Work",
    "change": "add",
    "flags": ["\\Seen"],
    "keywords": [],
    "recipients": [{"forward_path": "alice@example.org"}],
    "client": {},
    "watch": 1,
    "name": "main",
    "new_name": "other",
    "text": b"keep;",
    "rules": [{"name": "a", "conditions": [["true"]], "actions": [["keep"]]}],
}
REQUESTS = [method for method in contract.METHODS.values() if method.kind != "from_server"]


def required(method: Method[Any, Any]) -> list[str]:
    found = contract.describe()["methods"][method.name]["args"]
    return list(found["$defs"][method.args.__name__].get("required", ()))


def good(method: Method[Any, Any]) -> dict[str, object]:
    args = {key: SAMPLES[key] for key in required(method)}
    if method.name == "auth.end":
        args["id"] = "a"
    return args


def fault(name: str, *params: object) -> AccessError:
    with pytest.raises(AccessError) as refused:
        contract.check(name, params)
    return refused.value


@pytest.mark.parametrize("method", REQUESTS, ids=lambda method: method.name)
def test_good_arguments_pass_and_unknown_missing_or_wrong_ones_name_their_key(
    method: Method[Any, Any],
) -> None:
    args = good(method)

    passed = contract.check(method.name, (args,))
    unknown = fault(method.name, args | {"expunge_all": True})
    option = fault(method.name, args | {"_unsafe": True})
    missing = {key: fault(method.name, {k: v for k, v in args.items() if k != key}) for key in args}
    absent = {key: fault(method.name, args | {key: None}) for key in args}
    wrong = {key: fault(method.name, args | {key: 1.5}) for key in args}

    assert passed.method is method
    assert (unknown.code, unknown.data["key"]) == ("INVALID", "expunge_all")
    assert (option.code, option.data["key"]) == ("INVALID", "_unsafe")
    for found in (missing, absent, wrong):
        assert {key: (error.code, error.data.get("key")) for key, error in found.items()} == {
            key: ("INVALID", key) for key in args
        }


@pytest.mark.parametrize("bad", ["17", 17.0, True, 0, -1, 2**32, b"17", [17]])
def test_a_uid_is_a_number_in_range(bad: object) -> None:
    one = fault("message.retrieve", {"session": "s", "uid": bad})
    many = fault("message.delete", {"session": "s", "uids": [1, bad]})

    assert one.data["key"] == "uid"
    assert many.data["key"] == "uids"


@pytest.mark.parametrize("pair", [[1], [1, 2, 3], [None, 2], ["1", 2], [0, 4]])
def test_a_pair_of_uids_has_a_first_and_perhaps_a_last(pair: object) -> None:
    assert fault("message.delete", {"session": "s", "uids": [pair]}).data["key"] == "uids"


def test_the_five_verbs_take_the_positional_form_and_no_other_method_does() -> None:
    verbs = {
        "message.list": ("alice@example.org",),
        "message.retrieve": ("alice@example.org", 17),
        "message.delete": ("alice@example.org", 17),
        "message.expunge": ("alice@example.org",),
        "folder.stat": ("alice@example.org",),
    }

    taken = {name: contract.check(name, params, sole_session="t").args for name, params in verbs.items()}
    refused = {fault(name, *params).code for name, params in verbs.items()}
    others = {
        fault(method.name, "alice@example.org").code
        for method in contract.METHODS.values()
        if method.name not in verbs and method.kind != "from_server"
    }

    assert {getattr(args, "folder", None) for args in taken.values()} == {"INBOX"}
    assert {getattr(args, "session", None) for args in taken.values()} == {"t"}
    assert getattr(taken["message.delete"], "uids", None) == (17,)
    assert refused == {"NO_SESSION"}
    assert others == {"INVALID"}


@pytest.mark.parametrize(
    ("option", "bad"),
    [("_timeout_ms", -1), ("_timeout_ms", "1"), ("_timeout_ms", True), ("_trace", "x" * 65), ("_request_id", 5)],
)
def test_call_options_are_checked_as_well(option: str, bad: object) -> None:
    assert fault("rpc.ping", {option: bad}).data["key"] == option


def test_unknown_methods_and_those_of_the_server_are_no_methods() -> None:
    assert {fault(name).code for name in ("rpc.nothing", "", "rpc.going_away", "rpc.fatal")} == {"NO_METHOD"}


def test_the_description_is_plain_and_names_every_method_and_error() -> None:
    described = contract.describe()

    assert set(described["methods"]) == set(contract.METHODS)
    assert set(described["errors"]) == set(CODES)
    assert "contentEncoding" not in json.dumps(described)


def test_both_clients_and_their_sessions_offer_the_same_names() -> None:
    def names(kind: type) -> set[str]:
        return {name for name in dir(kind) if not name.startswith("_")}

    assert names(aio.AccessClient) == names(sync.AccessClient)
    assert names(aio.Session) == names(sync.Session)
    assert names(aio.Body) == names(sync.Body)


@pytest.mark.parametrize("form", ["array", "string"])
@pytest.mark.parametrize("code", list(CODES))
def test_every_error_arrives_as_itself(code: str, form: str) -> None:
    sent = AccessError(code, "what happened", after_ms=5)

    found = error_from_wire(sent.on_wire(form))

    assert (found.code, found.message, found.retry) == (code, "what happened", CODES[code].retry)
    assert found.pop3 == CODES[code].pop3
    assert found.imap == CODES[code].imap


@pytest.mark.parametrize("found", [None, 5, [], [1, 2], ["X"], b"X", "garbage", {"a": 1}])
def test_an_error_of_unknown_form_is_internal_and_may_be_retried(found: object) -> None:
    error = error_from_wire(found)

    assert (error.code, error.retry) == ("INTERNAL", True)


def test_a_foreign_error_cannot_choose_the_names_of_our_arguments() -> None:
    error = error_from_wire(["BUSY", "text", {"code": "X", "message": "Y", "self": 1}])

    assert error.code == "BUSY"


def test_every_error_of_the_library_has_a_code_of_the_table_and_tells_no_path() -> None:
    named = [*vars(errors).values(), *vars(keys).values()]
    leaves = [kind for kind in named if isinstance(kind, type) and issubclass(kind, errors.MsgstoreError)]

    assert {kind.rpc_code for kind in leaves} <= set(CODES)
    assert "/home/alice" not in str(wire_error(errors.StoreUnavailable("/home/alice/new")).on_wire())
    assert "/home/alice" not in str(wire_error(ValueError("/home/alice/new")).on_wire())


def test_numbers_go_along_with_the_errors_that_have_them() -> None:
    limited = wire_error(errors.RateLimited(after_seconds=1.5))
    quota = wire_error(errors.QuotaExceeded(used_octets=3, limit_octets=2))
    large = wire_error(errors.MessageTooLarge(limit_octets=9))
    full = wire_error(errors.DiskFull("x"), log_id="abc")

    assert limited.data["after_ms"] == 1500
    assert (quota.data["used_octets"], quota.data["limit_octets"]) == (3, 2)
    assert large.data["limit_octets"] == 9
    assert (full.code, full.data["status"], full.data["id"]) == ("IO", "4.3.1", "abc")
