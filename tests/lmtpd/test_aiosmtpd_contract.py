import inspect

from aiosmtpd.lmtp import LMTP
from aiosmtpd.smtp import SMTP, Envelope, Session

from lmtpd.session import LmtpSession


def test_the_constructor_takes_what_the_session_gives() -> None:
    parameters = inspect.signature(SMTP.__init__).parameters

    assert {"handler", "data_size_limit", "enable_SMTPUTF8", "hostname", "loop"} <= set(parameters)


def test_the_names_that_the_session_overrides_exist() -> None:
    names = [name for name in vars(LmtpSession) if name.startswith("smtp_")]

    for name in {*names, "push", "handle_exception", "connection_made"} - {
        "smtp_BDAT",
        "smtp_XCLIENT",
        "smtp_XFORWARD",
    }:
        assert callable(getattr(LMTP, name))


def test_sessions_and_envelopes_can_be_made() -> None:
    assert Envelope().rcpt_tos == []
    assert "peer" in vars(Session(None))  # type: ignore[arg-type]
