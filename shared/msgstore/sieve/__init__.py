"""Sieve: deciding where a message goes.  Pure: no files, no clock, no store; what a run must know it asks.

::

    engine = default_engine()                          # or Engine(extensions, limits=Limits(...))
    program = engine.compile(text, name="personal")    # raises InvalidScript with everything that is wrong
    context = Context(Message(header, read_body, octets=size), envelope=Envelope(reverse_path="a@b", ...))
    verdict = evaluate(engine, program, context, MyServices())
    for action in verdict.actions:                     # Keep, FileInto, Redirect, ...; carried out by somebody else
        ...

``engine.run`` is the same as a generator: it yields a :class:`Question`, is sent the answer, and ends with the
:class:`Verdict`.  An error of a script stands in the verdict, beside the implicit keep of the message as it came.

Several scripts for one message (before, personal, after): run each in ``context.child()`` as long as
``verdict.keeps``; flags, edits and decisions carry on, variables do not.  Running in the same context again carries on
variables too.

An extension is a value::

    def greet(context, arguments):
        context.add(Debug(line=arguments.line, text="hello " + arguments.text("name")))

    hello = Extension(
        capability="vnd.example.hello",
        commands=(Command(name="hello", arguments=(Positional(name="name"),), handler=greet),),
    )
    engine = default_engine(extensions=(hello,))

A handler that asks, compares or runs a block is a generator function: ``yield from ask(FolderExists(name))``,
``yield from arguments.match(values)``, ``yield from arguments.block()``.  See :mod:`msgstore.sieve.registry` for all
that can be declared; the built-in extensions are declared with nothing else.

An engine and its programs may be used by all threads; a context belongs to one run at a time.
"""

from msgstore.sieve.actions import (
    Action,
    Debug,
    Discard,
    Ereject,
    FileInto,
    Keep,
    Notify,
    Redirect,
    Reject,
    Report,
    Vacate,
)
from msgstore.sieve.addresses import MailAddress, outbound_address, parse_addresses
from msgstore.sieve.builtin import OFF_BY_DEFAULT, builtin_extensions, default_engine
from msgstore.sieve.collation import Comparator
from msgstore.sieve.context import Context, Envelope, Owner, Result, Scan
from msgstore.sieve.engine import ENGINE_VERSION, Engine
from msgstore.sieve.evaluate import Services, drive, evaluate
from msgstore.sieve.flow import BreakLoop, ReturnFromScript, StopScript
from msgstore.sieve.limits import DEFAULT_LIMITS, Limits
from msgstore.sieve.message import EditedMessage, Message
from msgstore.sieve.problems import Diagnostic, InvalidScript, Level, LimitReached, ScriptFailed
from msgstore.sieve.program import Program
from msgstore.sieve.questions import (
    Answer,
    Asking,
    CurrentTime,
    EnvironmentItem,
    FolderExists,
    ListContains,
    ListKnown,
    MailboxId,
    Metadata,
    Question,
    Script,
    ScriptIsBroken,
    SeenBefore,
    SpecialUseFolder,
    ask,
)
from msgstore.sieve.registry import (
    AddressPart,
    Arguments,
    Command,
    EnvelopePart,
    EnvironmentValue,
    Extension,
    Kind,
    Matcher,
    MatchType,
    Modifier,
    Namespace,
    Placement,
    Positional,
    Shared,
    Site,
    Tag,
    Test,
    Tests,
)
from msgstore.sieve.verdict import SeenMark, Step, Verdict

__all__ = [
    "DEFAULT_LIMITS",
    "ENGINE_VERSION",
    "OFF_BY_DEFAULT",
    "Action",
    "AddressPart",
    "Answer",
    "Arguments",
    "Asking",
    "BreakLoop",
    "Command",
    "Comparator",
    "Context",
    "CurrentTime",
    "Debug",
    "Diagnostic",
    "Discard",
    "EditedMessage",
    "Engine",
    "Envelope",
    "EnvelopePart",
    "EnvironmentItem",
    "EnvironmentValue",
    "Ereject",
    "Extension",
    "FileInto",
    "FolderExists",
    "InvalidScript",
    "Keep",
    "Kind",
    "Level",
    "LimitReached",
    "Limits",
    "ListContains",
    "ListKnown",
    "MailAddress",
    "MailboxId",
    "MatchType",
    "Matcher",
    "Message",
    "Metadata",
    "Modifier",
    "Namespace",
    "Notify",
    "Owner",
    "Placement",
    "Positional",
    "Program",
    "Question",
    "Redirect",
    "Reject",
    "Report",
    "Result",
    "ReturnFromScript",
    "Scan",
    "Script",
    "ScriptFailed",
    "ScriptIsBroken",
    "SeenBefore",
    "SeenMark",
    "Services",
    "Shared",
    "Site",
    "SpecialUseFolder",
    "Step",
    "StopScript",
    "Tag",
    "Test",
    "Tests",
    "Vacate",
    "Verdict",
    "ask",
    "builtin_extensions",
    "default_engine",
    "drive",
    "evaluate",
    "outbound_address",
    "parse_addresses",
]
