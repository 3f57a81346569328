import asyncio
import threading
from collections.abc import AsyncGenerator, Callable, Generator, Sequence

import pytest

from msgstore.model.errors import Overloaded
from msgstore.service import together as module
from msgstore.service.offload import Offload
from msgstore.service.together import ROUND_LIMIT, Together


class Desk:
    """Settles waits and writes down which came together; closed, it makes everybody wait."""

    def __init__(self) -> None:
        self.settled: list[list[str]] = []
        self.is_open = threading.Event()
        self.is_open.set()
        self.error: Exception | None = None

    def settle(self, waits: Sequence[str]) -> None:
        self.settled.append(list(waits))
        assert self.is_open.wait(10)
        if self.error is not None:
            raise self.error


@pytest.fixture
async def offload() -> AsyncGenerator[Offload]:
    threads = Offload(4, 100)
    yield threads
    threads.close()


def steps(name: str, count: int = 2) -> Generator[str, None, str]:
    for number in range(count):
        yield f"{name}{number}"
    return f"{name} done"


def submitted(
    jobs: Together[str], begin: Callable[[], Generator[str, None, str]], *, alone: bool = False
) -> "asyncio.Future[str]":
    """Submit a job and give the future of its result."""
    future: asyncio.Future[str] = asyncio.get_running_loop().create_future()

    def then(result: str | None, error: BaseException | None) -> None:
        if error is not None:
            future.set_exception(error)
        else:
            assert result is not None
            future.set_result(result)

    (jobs.submit_alone if alone else jobs.submit)(begin, then)
    return future


async def settled(desk: Desk, count: int) -> None:
    """Let the threads work until so many waits came in."""
    while len(desk.settled) < count:  # noqa: ASYNC110 (it is another thread that changes it)
        await asyncio.sleep(0.001)


async def test_a_lone_job_starts_at_once_and_gives_its_result(offload: Offload) -> None:
    desk = Desk()

    result = await submitted(Together(offload, desk.settle), lambda: steps("a"))

    assert result == "a done"
    assert desk.settled == [["a0"], ["a1"]]


async def test_jobs_that_come_during_a_wait_share_the_next_one_with_those_at_work(offload: Offload) -> None:
    desk = Desk()
    jobs = Together(offload, desk.settle)
    desk.is_open.clear()
    first = submitted(jobs, lambda: steps("a", 2))
    await settled(desk, 1)
    others = [submitted(jobs, lambda name=name: steps(name, 2)) for name in "bcd"]  # type: ignore[misc]
    desk.is_open.set()

    results = await asyncio.gather(first, *others)

    assert results == ["a done", "b done", "c done", "d done"]
    assert desk.settled == [["a0"], ["a1", "b0", "c0", "d0"], ["b1", "c1", "d1"]]


async def test_a_round_is_never_larger_than_its_limit(offload: Offload) -> None:
    desk = Desk()
    jobs = Together(offload, desk.settle)

    await asyncio.gather(*(submitted(jobs, lambda: steps("x", 1)) for _ in range(3 * ROUND_LIMIT)))

    assert max(len(waits) for waits in desk.settled) == ROUND_LIMIT
    assert sum(len(waits) for waits in desk.settled) == 3 * ROUND_LIMIT


async def test_a_job_that_raises_changes_nothing_for_the_others(offload: Offload) -> None:
    def broken() -> Generator[str, None, str]:
        yield "x0"
        raise ValueError("broken")

    desk = Desk()
    jobs = Together(offload, desk.settle)
    desk.is_open.clear()
    first = submitted(jobs, lambda: steps("a", 1))
    await settled(desk, 1)
    bad, good = submitted(jobs, broken), submitted(jobs, lambda: steps("b"))
    desk.is_open.set()

    answers = await asyncio.gather(first, bad, good, return_exceptions=True)

    assert [str(answer) for answer in answers] == ["a done", "broken", "b done"]


async def test_a_job_that_cannot_even_begin_fails_alone(offload: Offload) -> None:
    def begin() -> Generator[str, None, str]:
        raise KeyError("no begin")

    with pytest.raises(KeyError, match="no begin"):
        await submitted(Together(offload, Desk().settle), begin)


async def test_when_settling_itself_breaks_every_job_may_tidy_up_and_fails(offload: Offload) -> None:
    tidied: list[str] = []

    def careful(name: str) -> Generator[str, None, str]:
        try:
            yield name
        finally:
            tidied.append(name)
        return name

    desk = Desk()
    desk.error = RuntimeError("the desk is broken")

    with pytest.raises(RuntimeError, match="the desk is broken"):
        await submitted(Together(offload, desk.settle), lambda: careful("a"))
    assert tidied == ["a"]


async def test_a_wait_that_hangs_holds_up_later_jobs_only_for_a_while(
    offload: Offload, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "STUCK_SECONDS", 0.01)
    gate, hangs = threading.Event(), threading.Event()

    def settle(waits: Sequence[str]) -> None:
        if "dead0" in waits:
            hangs.set()
            assert gate.wait(10)

    jobs = Together(offload, settle)
    dead = submitted(jobs, lambda: steps("dead"))
    await asyncio.to_thread(hangs.wait)

    assert await submitted(jobs, lambda: steps("a")) == "a done"

    assert not dead.done()
    gate.set()
    assert await dead == "dead done"


async def test_a_job_alone_does_not_wait_for_the_others(offload: Offload) -> None:
    gate = threading.Event()

    def settle(waits: Sequence[str]) -> None:
        if "slow0" in waits:
            assert gate.wait(10)

    jobs = Together(offload, settle)
    slow = submitted(jobs, lambda: steps("slow", 1))

    assert await submitted(jobs, lambda: steps("big"), alone=True) == "big done"

    gate.set()
    assert await slow == "slow done"


async def test_too_many_waiting_jobs_are_refused_and_nothing_is_begun(offload: Offload) -> None:
    desk = Desk()
    jobs = Together(offload, desk.settle, waiting_limit=1)
    desk.is_open.clear()
    first = submitted(jobs, lambda: steps("a", 1))
    await settled(desk, 1)
    second = submitted(jobs, lambda: steps("b", 1))

    with pytest.raises(Overloaded):
        submitted(jobs, lambda: steps("c", 1))

    desk.is_open.set()
    assert list(await asyncio.gather(first, second)) == ["a done", "b done"]
    assert desk.settled == [["a0"], ["b0"]]


async def test_threads_that_are_full_refuse_the_first_job_and_keep_nothing_of_it() -> None:
    gate = threading.Event()
    offload = Offload(1, 0)
    busy = offload.submit(gate.wait)
    desk = Desk()
    jobs = Together(offload, desk.settle)

    with pytest.raises(Overloaded):
        submitted(jobs, lambda: steps("a", 1))

    gate.set()
    await busy
    assert await submitted(jobs, lambda: steps("b", 1)) == "b done"
    assert desk.settled == [["b0"]]
    offload.close()


async def test_one_who_fails_to_take_his_result_keeps_nobody_from_theirs(offload: Offload) -> None:
    def fail(result: str | None, error: BaseException | None) -> None:
        raise RuntimeError("cannot take it")

    desk = Desk()
    jobs = Together(offload, desk.settle)
    desk.is_open.clear()
    first = submitted(jobs, lambda: steps("a", 1))
    await settled(desk, 1)
    jobs.submit(lambda: steps("b", 1), fail)
    third = submitted(jobs, lambda: steps("c", 1))
    desk.is_open.set()

    assert list(await asyncio.gather(first, third)) == ["a done", "c done"]
