import asyncio
import threading

import pytest

from msgstore.model.errors import Overloaded
from msgstore.service.offload import Offload


async def test_a_job_runs_in_another_thread_and_gives_its_result() -> None:
    offload = Offload(2, 10)

    found = await asyncio.gather(*(offload.run(lambda number: (number, threading.get_ident()), n) for n in range(10)))

    assert [number for number, _ in found] == list(range(10))
    assert threading.get_ident() not in {thread for _, thread in found}
    assert (offload.running, offload.waiting) == (0, 0)
    offload.close()


async def test_what_a_job_raises_arrives_at_its_caller() -> None:
    offload = Offload(1, 1)

    with pytest.raises(ZeroDivisionError):
        await offload.run(lambda: 1 // 0)
    offload.close()


async def test_a_full_queue_refuses_and_begins_nothing() -> None:
    gate = threading.Event()
    offload = Offload(1, 1)
    first = offload.submit(gate.wait)
    second = offload.submit(gate.wait)

    with pytest.raises(Overloaded):
        offload.submit(gate.wait)
    assert (offload.is_full, offload.running, offload.waiting) == (True, 1, 1)
    gate.set()

    assert list(await asyncio.gather(first, second)) == [True, True]
    assert not offload.is_full
    offload.close()


async def test_a_job_cancelled_before_its_start_is_not_run() -> None:
    gate = threading.Event()
    ran: list[str] = []
    offload = Offload(1, 5)
    first = offload.submit(gate.wait)
    second = offload.submit(ran.append, "second")
    second.cancel()
    gate.set()

    await first
    await offload.run(ran.append, "third")

    assert ran == ["third"]
    offload.close()


async def test_close_waits_for_jobs_and_refuses_new_ones() -> None:
    ran: list[int] = []
    offload = Offload(2, 10)
    for number in range(5):
        offload.submit(ran.append, number)

    offload.close()
    offload.close()

    assert sorted(ran) == [0, 1, 2, 3, 4]
    with pytest.raises(RuntimeError):
        offload.submit(ran.append, 6)


def test_a_pool_without_threads_is_refused() -> None:
    with pytest.raises(ValueError, match="at least one"):
        Offload(0, 1)


async def test_a_posted_job_tells_its_result_or_its_error_to_a_callback_in_the_loop() -> None:
    offload = Offload(1, 5)
    heard: list[tuple[object, str, bool]] = []
    loop_thread = threading.get_ident()

    def then(result: object, error: BaseException | None) -> None:
        heard.append((result, type(error).__name__, threading.get_ident() == loop_thread))

    offload.post(lambda: 7, then=then)
    offload.post(lambda: 1 // 0, then=then)
    await offload.run(lambda: None)

    assert heard == [(7, "NoneType", True), (None, "ZeroDivisionError", True)]
    offload.close()


async def test_a_callback_that_fails_costs_no_other_job_its_result() -> None:
    offload = Offload(1, 5)

    def then(result: object, error: BaseException | None) -> None:
        raise RuntimeError("cannot take it")

    offload.post(lambda: 7, then=then)

    assert await offload.run(lambda: 8) == 8
    offload.close()
