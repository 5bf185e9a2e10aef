"""Work side by side: order, errors, cancelling, and who is told what on which thread."""

from __future__ import annotations

import threading
from collections.abc import Callable

import pytest

from pipeline.errors import Cancelled, InputError
from pipeline.progress import CancelToken, LinkedToken
from pipeline.rendering.parallel import crew, run_parallel

Tell = Callable[[float], object]


def no_one(share: float, done: int) -> None:
    """An `on_progress` that isn't interested."""


def wait_for(token: CancelToken) -> None:
    """Work that ends only when it is told to."""
    for _ in range(3000):
        token.check()
        threading.Event().wait(0.01)
    raise AssertionError("nobody stopped this task")


@pytest.mark.parametrize(("tasks", "cores", "pixels", "most", "expected"), [
    (5, 2, 1920 * 1080, None, (2, 2)), (1, 2, 1920 * 1080, None, (1, 3)), (5, 1, 1920 * 1080, None, (1, 2)),
    (200, 64, 1280 * 720, None, (8, 12)), (200, 64, 3840 * 2160, None, (2, 16)), (9, 16, 16384 * 8192, None, (1, 16)),
    (9, 16, 1920 * 1080, 2, (2, 12)), (0, 4, 0, None, (1, 6)),
])
def test_crew(tasks: int, cores: int, pixels: int, most: int | None, expected: tuple[int, int]) -> None:
    assert crew(tasks, cores, pixels, most) == expected


def test_results_come_in_the_order_of_the_tasks() -> None:
    started: list[int] = []

    def task(index: int) -> Callable[[Tell, CancelToken], int]:
        return lambda tell, token: started.append(index) or index * 10

    assert run_parallel([task(i) for i in range(6)], [1, 5, 3, 9, 2, 4], 1, no_one, CancelToken()) == [
        0, 10, 20, 30, 40, 50]
    assert started == [3, 1, 5, 2, 4, 0], "the heaviest should start first"


def test_tasks_run_at_the_same_time() -> None:
    together = threading.Barrier(3, timeout=30)
    run_parallel([lambda tell, token: together.wait()] * 3, [1, 1, 1], 3, no_one, CancelToken())


def test_progress_is_told_on_the_calling_thread_and_rises_to_one() -> None:
    told: list[tuple[float, int, int]] = []
    seen = threading.Event()

    def see(share: float, done: int) -> None:
        told.append((share, done, threading.get_ident()))
        if share >= 0.25:
            seen.set()

    def half(tell: Tell, token: CancelToken) -> None:
        tell(0.5)
        assert seen.wait(30), "half of a task was never told"

    run_parallel([half, half], [1, 3], 2, see, CancelToken())
    assert {thread for _, _, thread in told} == {threading.get_ident()}
    assert [share for share, _, _ in told] == sorted(share for share, _, _ in told) and told[-1][:2] == (1.0, 2)
    assert any(0.4 < share < 0.6 for share, _, _ in told)


def test_an_error_stops_the_others_and_is_raised_as_it_is() -> None:
    fault = InputError("is broken", "a.mp4")
    stopped: list[bool] = []
    never: list[bool] = []
    started = threading.Barrier(2, timeout=30)

    def fails(tell: Tell, token: CancelToken) -> None:
        started.wait()
        raise fault

    def goes_on(tell: Tell, token: CancelToken) -> None:
        started.wait()
        try:
            wait_for(token)
        except Cancelled:
            stopped.append(True)
            raise

    token = CancelToken()
    with pytest.raises(InputError) as caught:
        run_parallel([fails, goes_on, lambda tell, token: never.append(True)], [2, 2, 1], 2, no_one, token)
    assert caught.value is fault and stopped and not never
    assert not token.cancelled, "the token is the caller's"


def test_cancel_stops_all() -> None:
    token = CancelToken()
    ended: list[bool] = []

    def task(tell: Tell, inner: CancelToken) -> None:
        tell(0.5)
        try:
            wait_for(inner)
        finally:
            ended.append(True)

    with pytest.raises(Cancelled):
        run_parallel([task, task], [1, 1], 2, lambda share, done: token.cancel() if share >= 0.5 else None, token)
    assert ended == [True, True]


def test_an_error_of_the_listener_stops_all() -> None:
    def shout(share: float, done: int) -> None:
        raise RuntimeError("the page is gone")

    with pytest.raises(RuntimeError, match="page is gone"):
        run_parallel([lambda tell, token: wait_for(token)] * 2, [1, 1], 2, shout, CancelToken())
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("render")]


def test_linked_tokens_pass_down_and_not_up() -> None:
    parent = CancelToken()
    child, other = LinkedToken(parent), LinkedToken(parent)
    child.cancel()
    assert child.cancelled and not parent.cancelled and not other.cancelled
    parent.cancel()
    with pytest.raises(Cancelled):
        other.check()
