import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from msgstore.config.loader import settings_from
from msgstore.config.sieving import SieveSettings
from msgstore.delivery.programs import NoScripts, Programs, SiteScripts, sieve_engine
from msgstore.model.scripts import ScriptNotFound, ScriptUnreadable, StoredScript
from msgstore.sieve import InvalidScript, Program


def script(text: str, name: str = "main") -> StoredScript:
    return StoredScript(name=name, content=text.encode())


def site_in(root: Path, **settings: object) -> SiteScripts:
    """Give the scripts of a site; time goes on by ten seconds with each look."""
    times = iter(range(0, 10_000, 10))
    loaded = settings_from({"data_dir": str(root), "sieve": settings}).sieve
    return SiteScripts(loaded, str(root), monotonic=lambda: next(times))


def text_of(found: StoredScript | None) -> str | None:
    return None if found is None else found.content.decode()


def test_the_same_text_is_compiled_once_for_all_threads_and_users() -> None:
    programs = Programs(sieve_engine(SieveSettings()), limit=10)
    texts = [script("keep;"), script("discard;"), script("keep;;")]

    with ThreadPoolExecutor(4) as threads:
        list(threads.map(programs.compiled, texts * 50))
    found = [programs.compiled(one) for one in texts]

    assert [type(one) for one in found] == [Program, Program, InvalidScript]
    assert all(programs.compiled(one) is known for one, known in zip(texts, found, strict=True))


def test_an_error_names_the_script_of_its_own_user() -> None:
    programs = Programs(sieve_engine(SieveSettings()), limit=10)

    names = [str(programs.compiled(script("keep", name))) for name in ("first", "second")]

    assert ["first" in names[0], "second" in names[1]] == [True, True]


def test_of_many_programs_those_used_last_are_remembered() -> None:
    programs = Programs(sieve_engine(SieveSettings()), limit=2)
    first, second = (programs.compiled(script(text)) for text in ("keep;", "discard;"))

    assert programs.compiled(script("keep;")) is first
    programs.compiled(script("stop;"))
    assert programs.compiled(script("keep;")) is first
    assert programs.compiled(script("discard;")) is not second


@pytest.mark.parametrize(
    ("text", "waits"),
    [
        ('require "fileinto"; fileinto "Junk";', False),
        ('redirect "a@b.c";', True),
        ('if true { if false { redirect "a@b.c"; } }', True),
        ('if true { stop; } else { redirect "a@b.c"; }', True),
        ('require "duplicate"; if anyof (true, not duplicate) { stop; }', True),
        ('require "include"; include "other";', True),
        ('require "vacation"; vacation "x";', True),
        ("broken", False),
    ],
)
def test_what_may_wait_is_found_wherever_it_stands(text: str, waits: bool) -> None:  # noqa: FBT001
    programs = Programs(sieve_engine(SieveSettings()), limit=2)

    assert programs.compiled_all([script(text)])[1] is waits


def test_the_engine_is_what_the_settings_say(capsys: pytest.CaptureFixture[str]) -> None:
    settings = SieveSettings(
        extensions=("vnd.dovecot.debug",), without_extensions=("vacation", "vaction"), redirects=1, script_octets=100
    )

    engine = sieve_engine(settings)

    assert ("vnd.dovecot.debug" in engine.capabilities, "vacation" in engine.capabilities) == (True, False)
    assert (engine.limits.redirects, engine.limits.script_octets) == (1, 100)
    told = capsys.readouterr().err
    assert ("name=vaction" in told, told.count("sieve.unknown_extension")) == (True, 1)


def test_a_script_of_the_site_is_read_again_when_it_changes(tmp_path: Path) -> None:
    file = tmp_path / "all.sieve"
    site = site_in(tmp_path, default=str(file))
    found = [text_of(site.default("example.com"))]
    file.write_text("keep;")
    found.append(text_of(site.default("example.com")))
    file.write_text("stop;")
    found.append(text_of(site.default("example.com")))
    (tmp_path / "example.com").mkdir()
    (tmp_path / "example.com" / "system.sieve").write_text("discard;")
    found.append(text_of(site.default("example.com")))
    file.unlink()
    found.append(text_of(site.default("example.net")))

    assert found == [None, "keep;", "stop;", "discard;", None]


@pytest.mark.parametrize("what", ["a directory", "a symlink", "a loop of symlinks"])
def test_what_is_no_file_of_its_own_is_unreadable_and_never_absent(tmp_path: Path, what: str) -> None:
    file = tmp_path / "all.sieve"
    (tmp_path / "other").write_text("discard;")
    if what == "a directory":
        file.mkdir()
    else:
        file.symlink_to(file if what.startswith("a loop") else tmp_path / "other")

    with pytest.raises(ScriptUnreadable):
        site_in(tmp_path, default=str(file)).default("example.com")


def test_a_domain_whose_directory_is_none_is_unreadable(tmp_path: Path) -> None:
    (tmp_path / "example.com").touch()

    with pytest.raises(ScriptUnreadable):
        site_in(tmp_path).default("example.com")


@pytest.mark.parametrize("name", ["../secret", "", ".hidden", "a/b", "a\0b", "x" * 300, "none"])
def test_no_name_of_an_included_script_leaves_its_directory(tmp_path: Path, name: str) -> None:
    (tmp_path / "secret.sieve").write_text("discard;")
    (tmp_path / "global").mkdir()
    (tmp_path / "global" / "there.sieve").write_text("keep;")
    site = site_in(tmp_path, global_dir=str(tmp_path / "global"))

    assert site.included(name) is None
    assert text_of(site.included("there")) == "keep;"
    assert site_in(tmp_path).included("there") is None


def test_users_without_a_shelf_have_no_script() -> None:
    assert NoScripts().active() is None  # type: ignore[func-returns-value]
    with pytest.raises(ScriptNotFound):
        NoScripts().read("main")


def test_a_list_is_one_value_a_line(tmp_path: Path) -> None:
    (tmp_path / "list").write_text(f"# comment\n a@b.c \n\nd@e.f{os.linesep}")
    site = site_in(tmp_path, lists={"friends": str(tmp_path / "list"), "gone": str(tmp_path / "gone")})

    assert site.members("friends") == ("a@b.c", "d@e.f")
    assert (site.members("gone"), site.members("unknown")) == (None, None)
