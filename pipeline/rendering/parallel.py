"""Runs parts of a render side by side, and tells how far they are on the calling thread alone."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from typing import TypeVar

from pipeline.cores import cores as cores
from pipeline.progress import CancelToken, LinkedToken

T = TypeVar("T")

# A part of the work: it is given where to tell the share that is done, and the token that stops it.
Task = Callable[[Callable[[float], object], CancelToken], T]

# How often the caller looks at how far the tasks are, and at its token.
_POLL_S = 0.1
# More ffmpegs than this no longer gain anything; each holds some tens of pictures.
_MOST_AT_ONCE = 8
_PIXELS_AT_ONCE = _MOST_AT_ONCE * 1920 * 1088
# x264 takes half as many threads again as there are cores, since some of them wait for others.
_THREADS_A_CORE = 1.5
_MOST_THREADS = 16


def crew(tasks: int, cores: int, pixels: int, most: int | None = None) -> tuple[int, int]:
    """How many ffmpegs to run at once, and threads for each.

    pixels: of the largest picture that each handles; memory grows with it
    most: at once, whatever there is room for; None where only that counts
    """
    room = _PIXELS_AT_ONCE // max(1, pixels)
    at_once = max(1, min(tasks, cores, room, most or tasks, _MOST_AT_ONCE))
    return at_once, max(1, min(_MOST_THREADS, math.ceil(_THREADS_A_CORE * cores / at_once)))


def run_parallel(tasks: Sequence[Task[T]], weights: Sequence[float], at_once: int,
                 on_progress: Callable[[float, int], object], cancel: CancelToken) -> list[T]:
    """Run tasks in threads, the heaviest first, and return their results in the order of the tasks.

    weights: how much work each is, in any unit
    on_progress: called on this thread with the share that is done, 0 to 1, and the number of tasks that are

    The first error that a task raises stops the others and is raised as it is, once none of them runs any more; so is
    whatever `on_progress` raises. Raises Cancelled where `cancel` is set.
    """
    shares, total = [0.0] * len(tasks), sum(weights) or 1.0
    token = LinkedToken(cancel)

    errors: list[BaseException] = []

    def work(index: int) -> T:
        try:
            token.check()
            result = tasks[index](lambda share: shares.__setitem__(index, share), token)
        except BaseException as error:
            # Told before the others are stopped, so that what they raise then comes after it; and they are stopped
            # here, or this thread would begin another task before the caller looks.
            errors.append(error)
            token.cancel()
            raise
        finally:
            token.rest()
        shares[index] = 1.0
        return result

    with ThreadPoolExecutor(at_once, thread_name_prefix="render") as pool:
        # A long task that starts last would run alone at the end.
        order = sorted(range(len(tasks)), key=lambda index: -weights[index])
        futures: dict[int, Future[T]] = {index: pool.submit(work, index) for index in order}
        try:
            left = set(futures.values())
            while left:
                _, left = wait(left, timeout=_POLL_S, return_when=FIRST_COMPLETED)
                cancel.check()
                if errors:
                    raise errors[0]
                share = sum(s * weight for s, weight in zip(shares, weights, strict=True)) / total
                on_progress(min(1.0, share), len(futures) - len(left))
        except BaseException:
            token.cancel()
            pool.shutdown(wait=True, cancel_futures=True)
            raise
    return [futures[index].result() for index in range(len(tasks))]
