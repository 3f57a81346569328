"""Generated scripts and messages: we decide what Pigeonhole decides, but for the kinds of difference in a table."""

import re
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.scenario.harness import required
from tests.scenario.pigeonhole import Decision, Pigeonhole, ours
from tests.scenario.sieve_scripts import acting, naming, probing, seeded

pytestmark = [pytest.mark.scenario, pytest.mark.timeout(120)]

BLOCKS, IN_BLOCK = range(5), 60
"""Seeds of one kind of script."""


@dataclass(frozen=True, slots=True)
class Difference:
    """A kind of test that is taken differently, and the sentence that decides."""

    name: str
    applies: Callable[[str, bytes], object]
    """Takes a test and the message."""

    rule: str


def _has(pattern: str) -> Callable[[str, bytes], object]:
    return lambda test, _: re.search(pattern, test)


DIFFERENCES = (
    Difference(
        "date counts fields from the wrong end or not at all",
        _has("^date :index"),
        "RFC 5260 §6: the attempts to match a value are limited to the header field fieldno",
    ),
    Difference(
        "a second field is not counted",
        _has("^(header|address) :index .*:count"),
        "RFC 5260 §6: the attempts to match a value are limited to the header field fieldno",
    ),
    Difference(
        "texts are ordered in lower case",
        lambda test, message: (
            ":value" in test
            and not re.search("i;octet|i;ascii-numeric", test)
            and (test.startswith("hasflag") or b"[list]" in message or b"\\" in message or "\\" in test)
        ),
        "RFC 4790 §9.2.1: at first, the lower-case letters in each input string are changed to upper case",
    ),
    Difference(
        "an empty string is a flag",
        _has('^hasflag.*:value.*""'),
        'RFC 5232 §2: MUST ignore empty strings (i.e., "") in a list-of-flags parameter',
    ),
    Difference(
        "a list of flags in one string is taken apart for :is alone",
        _has('^hasflag.*(:matches|:contains|:value|ascii-numeric).*"(a b|\\*)"'),
        "RFC 5232 §2: a string containing a space-separated list of flag names is equivalent to a string list",
    ),
    Difference(
        "a parameter that is not there is the empty string",
        lambda test, _: ":param" in test and '""' in test,
        "RFC 5703 §4.1: if any one named parameter value matches the test string value, the test will return true",
    ),
    Difference(
        "the first part without the field ends the search in :anychild",
        _has("^header :mime :anychild"),
        "RFC 5703 §4.1: the test returns true if any of the parts has a matching field",
    ),
    Difference(
        "what is no address has a local-part and a domain, and counts",
        lambda test, message: (
            test.startswith("address")
            and re.search(rb"^(From|To|Cc) ?: ?(\r\n|no address|undis|A@B.example <)", message, re.MULTILINE)
        ),
        "RFC 5228 §2.7.4: if an address is not syntactically valid, then it will not be matched by tests specifying"
        ' ":localpart" or ":domain"; RFC 5231 §4.2: group names are ignored, mailboxes are counted.'
        " Of A@B.example <c@d.example>, a phrase that should stand in quotes, we take the address in angle brackets,"
        " as readers of mail do and answers go; Pigeonhole takes the other",
    ),
    Difference(
        "the empty string is no number",
        lambda test, message: (
            "ascii-numeric" in test and (re.search('""|:detail|[$]{(none|v)}', test) or b": \r\n" in message)
        ),
        "RFC 4790 §9.1.1: strings that do not start with a digit represent positive infinity",
    ),
    Difference(
        "a tab that begins a folded line becomes a blank",
        lambda test, message: b"\n\tb" in message and re.search('"(subject|x-a|x-b)"', test),
        "RFC 2822 §2.2.3: unfolding is accomplished by simply removing any CRLF that is immediately followed by WSP",
    ),
    Difference(
        "strings are compared as octets where no comparator is named",
        lambda test, _: test.startswith("string") and ":comparator" not in test,
        "RFC 5228 §2.7.3: if left unspecified, the default is i;ascii-casemap",
    ),
    Difference(
        "an empty body is none",
        lambda test, message: test.startswith("body :raw") and message.endswith(b"\r\n\r\n"),
        "RFC 5173 §5.1: matches against the entire undecoded body of a message as a single item",
    ),
    Difference(
        "text is taken out of markup in another way",
        lambda test, message: re.match("body (:text )?:(is|matches|contains)", test) and b"text/html" in message,
        "RFC 5173 §5.3: sophisticated implementations MAY strip mark-up from the text prior to matching",
    ),
)


def is_agreed(test: str, message: bytes) -> bool:
    return not any(difference.applies(test, message) for difference in DIFFERENCES)


@pytest.fixture(scope="module")
def pigeonhole() -> Iterator[Pigeonhole]:
    required("sieve-test")
    with tempfile.TemporaryDirectory(prefix="msgstore-pigeonhole-") as name:
        Path(name).chmod(0o755)
        yield Pigeonhole(Path(name))


def found_in(decision: Decision) -> set[str]:
    """Give the flags of the only message that is kept."""
    assert not isinstance(decision, str), decision
    ((what, folder, *flags),) = decision
    assert (what, folder) == ("store", "INBOX")
    return set(flags)


def merged(decision: Decision) -> Decision:
    """Write INBOX in capitals: Pigeonhole takes another case of it for another folder. RFC 9051 §5.1."""
    if isinstance(decision, str):
        return decision
    return frozenset((one[0], "INBOX", *one[2:]) if one[:2] == ("store", "inbox") else one for one in decision)


def keeps_by_copy(script: str, own: Decision, theirs: Decision) -> bool:
    """The same ``fileinto`` or ``redirect`` with ``:copy`` and without: there the implicit keep stands.

    RFC 3894 §3: the tagged command does not cancel the implicit keep; the one without the tag does.
    """
    if isinstance(own, str) or isinstance(theirs, str) or " :copy" not in script:
        return False
    return own < theirs and all(one[:2] == ("store", "INBOX") for one in theirs - own)


def skips_dead_code(script: str, own: Decision, theirs: Decision) -> bool:
    """An invalid address behind a condition that is never true.

    RFC 5228 §2.10.6 lets implementations check at any time before the command; we check all of it when it is stored.
    """
    return own == "compile" and not isinstance(theirs, str) and "false" in script


def loses_the_body(script: str) -> bool:
    """Behind an edit of the header ``body :raw`` finds nothing there.

    RFC 5293 §7 lets body tests overlook what an edit changes for their decoding; ``:raw`` decodes nothing.
    """
    return re.search(r"(?s)(add|delete)header.*body :raw", script) is not None


@pytest.mark.parametrize("block", BLOCKS)
def test_every_test_is_as_true_as_there(pigeonhole: Pigeonhole, block: int) -> None:
    new: list[str] = []
    for seed in range(block * IN_BLOCK, (block + 1) * IN_BLOCK):
        case = probing(seeded(seed), 24)
        own, theirs = found_in(ours(case.script, case.message)), found_in(pigeonhole.decide(case.script, case.message))
        for flag in own ^ theirs:
            test = case.tests[int(flag[1:])]
            if is_agreed(test, case.message):
                new.append(f"{seed}: only {'we' if flag in own else 'they'} find {test}")

    assert new == []


@pytest.mark.parametrize("block", BLOCKS)
def test_variables_hold_what_they_hold_there(pigeonhole: Pigeonhole, block: int) -> None:
    for seed in range(block * IN_BLOCK, (block + 1) * IN_BLOCK):
        case = naming(seeded(seed))

        assert ours(case.script, case.message) == pigeonhole.decide(case.script, case.message), (seed, case)


@pytest.mark.parametrize("block", BLOCKS)
def test_actions_are_those_that_are_taken_there(pigeonhole: Pigeonhole, block: int) -> None:
    ends: set[str] = set()
    for seed in range(block * IN_BLOCK, (block + 1) * IN_BLOCK):
        case = acting(seeded(seed), is_agreed)
        own, theirs = ours(case.script, case.message), merged(pigeonhole.decide(case.script, case.message))

        if own != theirs and not loses_the_body(case.script):
            explained = keeps_by_copy(case.script, own, theirs) or skips_dead_code(case.script, own, theirs)
            assert explained, (seed, case, own, theirs)
        ends.add(own if isinstance(own, str) else "decided")
    assert ends == {"compile", "run", "decided"}


def test_every_row_of_the_table_is_needed(pigeonhole: Pigeonhole) -> None:
    unseen = {difference.name for difference in DIFFERENCES}
    for seed in range(2000):
        case = probing(seeded(seed), 24)
        if not unseen:
            break
        wanted = {
            number: difference.name
            for number, test in enumerate(case.tests)
            for difference in DIFFERENCES
            if difference.name in unseen and difference.applies(test, case.message)
        }
        if wanted:
            own, theirs = ours(case.script, case.message), pigeonhole.decide(case.script, case.message)
            unseen -= {wanted[int(flag[1:])] for flag in found_in(own) ^ found_in(theirs) if int(flag[1:]) in wanted}

    assert unseen == set()
