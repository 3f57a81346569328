import io
import json
import logging
from collections.abc import Iterator

import pytest

from msgstore.telemetry import log as log_module
from msgstore.telemetry.log import configure_logging, escape, gathered, logger


@pytest.fixture(autouse=True)
def untouched_root() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level, sink = list(root.handlers), root.level, log_module._current
    yield
    log_module._current = sink
    root.handlers[:] = handlers
    root.setLevel(level)


def written(form: str, level: str = "info") -> tuple[io.StringIO, object]:
    out = io.StringIO()
    configure_logging(form=form, level=level, stream=out)
    return out, None


def test_a_text_line_holds_time_level_event_and_fields() -> None:
    out, _ = written("text")

    logger("x").info("delivery.committed", domain="example.com", octets=4096, seconds=0.25, retry=False, nothing=None)

    line = out.getvalue()
    assert line.endswith("INFO delivery.committed domain=example.com octets=4096 seconds=0.25 retry=no\n")


def test_foreign_text_cannot_forge_a_line() -> None:
    out, _ = written("text")

    logger("x").info("auth.failed", user="eve\nERROR forged\x85\u2028x=\x1b[31m", client="a b")

    assert out.getvalue().count("\n") == 1
    assert "\\\\n" in out.getvalue()
    assert 'client="a b"' in out.getvalue()


def test_a_journal_line_carries_its_priority() -> None:
    out, _ = written("journal")

    logger("x").warning("store.slow")

    assert out.getvalue() == "<4>store.slow\n"


def test_a_json_line_is_one_object() -> None:
    out, _ = written("json")

    logger("x").info("a.b", text="q\nw", number=3)

    line = json.loads(out.getvalue())
    assert (line["event"], line["text"], line["number"], line["level"]) == ("a.b", "q\\nw", 3, "info")


@pytest.mark.parametrize("form", ["text", "json", "journal"])
def test_an_error_names_its_class_text_and_place(form: str) -> None:
    out, _ = written(form)

    try:
        int("boom")
    except ValueError as error:
        logger("x").error("it.broke", error=error)

    assert "ValueError" in out.getvalue()
    assert "boom" in out.getvalue()
    assert "test_log.py" in out.getvalue()
    assert out.getvalue().count("\n") == 1


def test_events_below_the_level_are_not_written() -> None:
    out, _ = written("text", "warning")

    logger("x").info("a.b")
    logger("x").debug("a.b")

    assert out.getvalue() == ""


def test_long_values_are_cut() -> None:
    assert len(escape("x" * 1000)) == 200


class Calls(io.StringIO):
    """Keeps what each call wrote."""

    def __init__(self) -> None:
        super().__init__()
        self.calls: list[str] = []

    def write(self, text: str) -> int:
        self.calls.append(text)
        return len(text)


def test_gathered_lines_are_written_with_one_call_at_the_end_of_the_block() -> None:
    out = Calls()
    configure_logging(form="text", stream=out)

    with gathered():
        for number in range(3):
            logger("x").info("delivery.committed", number=number)
        before = list(out.calls)

    assert before == []
    assert len(out.calls) == 1
    assert [line[-8:] for line in out.calls[0].splitlines()] == ["number=0", "number=1", "number=2"]


def test_a_warning_is_written_at_once_behind_what_was_gathered() -> None:
    out = Calls()
    configure_logging(form="text", stream=out)

    with gathered():
        logger("x").info("first")
        logger("x").warning("second")
        written_by_then = "".join(out.calls)

    assert [line.split()[2] for line in written_by_then.splitlines()] == ["first", "second"]
    assert "".join(out.calls) == written_by_then


def test_no_call_writes_more_than_a_pipe_takes_in_one_piece() -> None:
    out = Calls()
    configure_logging(form="text", stream=out)

    with gathered():
        for _ in range(200):
            logger("x").info("delivery.committed", text="é" * 100)

    assert max(len(call.encode()) for call in out.calls) <= 4096
    assert sum(call.count("\n") for call in out.calls) == 200
    assert all(call.endswith("\n") for call in out.calls)
