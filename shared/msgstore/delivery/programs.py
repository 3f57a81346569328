"""Compiled scripts by their content, and the scripts of the site."""

import os
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from hashlib import sha256
from typing import Final, Protocol

from msgstore.auth.files import FileStamp, open_directory, read_small, stamp_of
from msgstore.config.sieving import SieveSettings
from msgstore.model.errors import MailboxNotFound, StoreError
from msgstore.model.scripts import ScriptNotFound, ScriptUnreadable, StoredScript
from msgstore.sieve import Engine, InvalidScript, Limits, Program, builtin_extensions, default_engine
from msgstore.sieve.values import Bound
from msgstore.telemetry.log import logger

__all__ = ["NoScripts", "Programs", "Scripts", "SiteScripts", "active_script", "sieve_engine", "words_of"]

log = logger(__name__)

_LOOK_SECONDS: Final = 1.0
_WAITING: Final = frozenset({"redirect", "vacation", "notify", "reject", "ereject", "report", "include", "duplicate"})
"""Commands and tests that may wait for a server, or for another delivery; what is included may hold any of them."""


class Scripts(Protocol):
    """What a delivery asks of :class:`msgstore.model.scripts.ScriptShelf`."""

    def active(self) -> StoredScript | None:
        """Give the active script; None where there is none."""
        ...

    def read(self, name: str) -> bytes:
        """Give a script by its name."""
        ...


class NoScripts:
    """Stands where users have no scripts."""

    def active(self) -> None:
        """There is none."""

    def read(self, name: str) -> bytes:
        """Find nothing."""
        raise ScriptNotFound(f"there is no script {name!r}")


def sieve_engine(settings: SieveSettings) -> Engine:
    """Make the engine that the settings describe; whoever checks scripts for this site takes the same one."""
    limits = Limits(
        script_octets=settings.script_octets,
        actions=settings.actions,
        redirects=settings.redirects,
        operations=settings.operations,
        vacation_days_min=settings.vacation_days_min,
        vacation_days_max=settings.vacation_days_max,
        vacation_days_default=settings.vacation_days,
    )
    known = {one.capability for one in builtin_extensions()}
    for name in settings.without_extensions:
        if name not in known:
            # It would be no surprise if somebody believed now that it is off.
            log.warning("sieve.unknown_extension", key="sieve.without_extensions", name=name)
    return default_engine(limits=limits, also=settings.extensions, without=settings.without_extensions)


class Programs:
    """Compiles each content once; safe in every thread."""

    def __init__(self, engine: Engine, *, limit: int) -> None:
        self.engine: Final = engine
        self._limit = limit
        self._guard = threading.Lock()
        self._known: OrderedDict[tuple[bytes, str], tuple[Program | InvalidScript, bool]] = OrderedDict()

    def compiled(self, script: StoredScript) -> Program | InvalidScript:
        """Give the program, or what is wrong with the script."""
        return self._compiled(script)[0]

    def compiled_all(self, scripts: Sequence[StoredScript]) -> tuple[tuple[Program | InvalidScript, ...], bool]:
        """Give the programs, and whether running them may wait for more than the disk."""
        found = [self._compiled(script) for script in scripts]
        return tuple(program for program, _ in found), any(waits for _, waits in found)

    def _compiled(self, script: StoredScript) -> tuple[Program | InvalidScript, bool]:
        key = (sha256(script.content).digest(), script.name)
        with self._guard:
            known = self._known.get(key)
            if known is not None:
                self._known.move_to_end(key)
                return known
        found: Program | InvalidScript
        try:
            found = self.engine.compile(script.content, name=script.name)
        except InvalidScript as error:
            # Without its frames, which would hold the script and the compiler for as long as it is remembered.
            found = error.with_traceback(None)
        made = (found, isinstance(found, Program) and any(one.key.name in _WAITING for one in _everything(found.code)))
        with self._guard:
            self._known[key] = made
            if len(self._known) > self._limit:
                self._known.popitem(last=False)
        return made


def words_of(program: Program) -> frozenset[str]:
    """Give the names of all commands and tests that stand in a program; what it includes is not looked at."""
    return frozenset(one.key.name for one in _everything(program.code))


def _everything(code: Sequence[Bound]) -> Iterator[Bound]:
    for one in code:
        yield one
        for inner in (one.tests, one.block or (), one.followers):
            yield from _everything(inner)


class SiteScripts:
    """The scripts of the site, read again when they change; safe in every thread.

    ``domains_root`` holds the directories of domains.
    """

    def __init__(
        self, settings: SieveSettings, domains_root: str, *, monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        self._settings = settings
        self._server_metadata = {name.lower(): value for name, value in settings.server_metadata.items()}
        self._root = domains_root
        self._monotonic = monotonic
        self._guard = threading.Lock()
        self._files: OrderedDict[tuple[str, ...], _File] = OrderedDict()

    @property
    def runs_for_everybody(self) -> bool:
        """Whether there are scripts for users who have neither one of their own nor a default one."""
        return bool(self._settings.before or self._settings.after)

    @property
    def before(self) -> tuple[StoredScript, ...]:
        """What runs first."""
        return self._all(self._settings.before)

    @property
    def after(self) -> tuple[StoredScript, ...]:
        """What runs last."""
        return self._all(self._settings.after)

    def default(self, domain: str) -> StoredScript | None:
        """Give the script for users of a folded domain who have none; of the domain, or else of the site."""
        name = self._settings.domain_script
        found = self._file(self._root, domain, name) if name else None
        if found is None and self._settings.default:
            found = self._file(*os.path.split(self._settings.default))
        return found

    def included(self, name: str) -> StoredScript | None:
        """Give a script of ``global_dir``; a name that is no file name finds nothing."""
        root = self._settings.global_dir
        if not root or not _is_file_name(name):
            return None
        return self._file(root, f"{name}.sieve")

    def members(self, list_name: str) -> tuple[str, ...] | None:
        """Give the values of an external list; None where there is none of that name."""
        path = self._settings.lists.get(list_name)
        found = self._file(*os.path.split(path)) if path else None
        if found is None:
            return None
        lines = found.content.decode("utf-8", "replace").splitlines()
        return tuple(line.strip() for line in lines if line.strip() and not line.startswith("#"))

    def server_metadata(self, name: str) -> str | None:
        """Give an annotation of the server, named in any case; None where there is none. RFC 5490 §4, RFC 5464 §3.2."""
        return self._server_metadata.get(name.lower())

    def _all(self, paths: Sequence[str]) -> tuple[StoredScript, ...]:
        if not paths:
            return ()
        found = (self._file(*os.path.split(path)) for path in paths)
        return tuple(one for one in found if one is not None)

    def _file(self, *place: str) -> StoredScript | None:
        with self._guard:
            file = self._files.get(place)
            if file is None:
                file = self._files[place] = _File(place)
                if len(self._files) > _FILES_LIMIT:
                    self._files.popitem(last=False)
        return file.read(self._monotonic())


_FILES_LIMIT: Final = 4096


class _File:
    """One file, looked at once a second at most."""

    def __init__(self, place: tuple[str, ...]) -> None:
        self._place = place
        self._looked_at = float("-inf")
        self._stamp: FileStamp | None = None
        self._found: StoredScript | None = None

    def read(self, now: float) -> StoredScript | None:
        """Give what is there.

        Raises:
            ScriptUnreadable: it is there and cannot be read.
        """
        if now - self._looked_at < _LOOK_SECONDS:
            return self._found
        *path, name = self._place
        try:
            directory = open_directory(*path)
        except FileNotFoundError:
            self._stamp = self._found = None
            self._looked_at = now
            return None
        except OSError as error:
            raise ScriptUnreadable(f"{'/'.join(self._place)}: {error.strerror}") from error
        try:
            stamp = stamp_of(directory, name)
            if stamp is None or stamp != self._stamp:
                content = None if stamp is None else read_small(directory, name)
                self._found = None if content is None else StoredScript(name=name, content=content[0])
                self._stamp = content[1] if content is not None and content[1].is_settled else None
        except OSError as error:
            raise ScriptUnreadable(f"{'/'.join(self._place)}: {error.strerror}") from error
        finally:
            os.close(directory)
        self._looked_at = now
        return self._found


def active_script(scripts: Scripts) -> StoredScript | None:
    """Give the active script of a user.

    Raises:
        ScriptUnreadable: it is there and cannot be read.
    """
    try:
        return scripts.active()
    except MailboxNotFound:
        return None
    except StoreError as error:
        raise ScriptUnreadable(str(error)) from error


def _is_file_name(name: str) -> bool:
    return (
        bool(name)
        and not name.startswith(".")
        and len(name.encode("utf-8", "replace")) < 200
        and not ({"/", "\0", "\n"} & set(name))
    )
