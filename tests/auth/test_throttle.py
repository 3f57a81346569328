from dataclasses import dataclass

import pytest

from msgstore.auth.throttle import Throttle, ThrottleLimits
from msgstore.model.errors import RateLimited


@dataclass
class HandClock:
    now: float = 1000.0

    def time(self) -> float:
        return self.now

    def monotonic(self) -> float:
        return self.now


def throttle() -> tuple[Throttle, HandClock]:
    clock = HandClock()
    return Throttle(ThrottleLimits(), clock), clock


def fail(guard: Throttle, times: int, client: str | None = "192.0.2.1", user: str = "alice@d") -> None:
    for _ in range(times):
        guard.failed(client, user)


def test_five_failures_lock_this_client_out_of_this_user_alone() -> None:
    guard, _ = throttle()

    fail(guard, 5)

    with pytest.raises(RateLimited) as caught:
        guard.check("192.0.2.1", "alice@d")
    assert caught.value.after_seconds == 900
    guard.check("192.0.2.1", "bob@d")
    guard.check("192.0.2.2", "alice@d")


def test_twenty_failures_lock_the_client_out_of_everybody() -> None:
    guard, _ = throttle()

    for number in range(20):
        fail(guard, 1, user=f"user{number}@d")

    with pytest.raises(RateLimited):
        guard.check("192.0.2.1", "somebody@d")


def test_failures_outside_of_the_window_do_not_count() -> None:
    guard, clock = throttle()
    fail(guard, 4)

    clock.now += 301
    fail(guard, 4)

    guard.check("192.0.2.1", "alice@d")


def test_later_failures_do_not_make_the_window_longer() -> None:
    guard, clock = throttle()

    for _ in range(4):
        fail(guard, 1)
        clock.now += 100
    fail(guard, 1)

    guard.check("192.0.2.1", "alice@d")


def test_a_lock_ends_by_itself() -> None:
    guard, clock = throttle()
    fail(guard, 5)

    clock.now += 901

    guard.check("192.0.2.1", "alice@d")
    fail(guard, 4)
    guard.check("192.0.2.1", "alice@d")


def test_a_success_forgets_failures_with_this_user() -> None:
    guard, _ = throttle()
    fail(guard, 4)

    guard.succeeded("192.0.2.1", "alice@d")
    fail(guard, 4)

    guard.check("192.0.2.1", "alice@d")


def test_without_an_address_nothing_is_counted() -> None:
    guard, _ = throttle()

    fail(guard, 100, client=None)

    guard.check(None, "alice@d")
