"""Video summaries on TVSum (Song et al. 2015) and SumMe (Gygli et al. 2014): how like people's choices ours are.

Rank correlation, Kendall's tau and Spearman's rho, is the measure to trust (Otani et al. 2019, "Rethinking the
Evaluation of Video Summaries"): F1 mostly shows how a video was divided. It stands beside it since it is usual: shots
are packed into 15 % of the video, and the summary's frames are compared with each person's; TVSum takes the mean over
people, SumMe the best. Shots are two seconds long everywhere, for people, chance and us alike: other divisions, such
as the KTS shots of many papers, give other figures, which must not be compared with these.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import astuple, dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
import numpy.typing as npt

from pipeline.errors import InputError

SHOT_S = 2.0
BUDGET = 0.15
# Ranks are compared at every so manieth frame, as is usual: neighbours say nothing new.
EVERY = 15

Floats = npt.NDArray[np.float64]
Chosen = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Annotated:
    """A video as people judged it.

    name: the video file's stem
    scores: (people, frames) how important each person finds each frame; 0 and 1 where they chose frames
    chose: whether people chose frames themselves; else their summaries are made of their scores, like ours
    """

    name: str
    scores: Floats
    chose: bool


@dataclass(frozen=True, slots=True)
class Agreement:
    """How like people a prediction is.

    tau, rho: mean over people of the correlation with each, -1 to 1
    tau_mean, rho_mean: correlation with the people's mean
    f1: of the summaries, in percent
    """

    tau: float
    rho: float
    tau_mean: float
    rho_mean: float
    f1: float


def read_tvsum(path: Path) -> list[Annotated]:
    """The videos of ydata-tvsum50-anno.tsv: a line a person with id, category and a score of 1 to 5 for every frame.

    Raises InputError where it can't be read or a line is something else.
    """
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"can't be read ({error}); give TVSum's ydata-tvsum50-anno.tsv", str(path)) from error
    people: dict[str, list[Floats]] = {}
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            name, _, listed = line.split("\t")
            scores = np.array([float(score) for score in listed.split(",")])
        except ValueError as error:
            raise InputError(f"line {number} isn't an id, a category and scores between tabs ({error})",
                             str(path)) from error
        people.setdefault(name, []).append(scores)
    if not people:
        raise InputError("holds no annotation", str(path))
    return [Annotated(name, _stacked(rows, name, path), chose=False) for name, rows in people.items()]


def _stacked(rows: list[Floats], name: str, path: Path) -> Floats:
    if len({len(row) for row in rows}) > 1:
        raise InputError(f"people scored different numbers of frames of {name}", str(path))
    return _several(np.stack(rows), path)


def _several(scores: Floats, path: Path) -> Floats:
    """The scores, if there are people to compare."""
    if len(scores) < 2:
        raise InputError("needs at least two people's annotations of each video", str(path))
    return scores


def read_summe(folder: Path) -> list[Annotated]:
    """The videos of SumMe's GT folder: a .mat file each, in which `user_score` (frames, people) is above 0 where a
    person chose the frame.

    Raises InputError where there is none or one can't be read.
    """
    from scipy.io import loadmat

    files = sorted(folder.glob("*.mat"))
    if not files:
        raise InputError("holds no .mat file; give SumMe's GT folder", str(folder))
    videos = []
    for path in files:
        try:
            chosen = np.asarray(loadmat(path)["user_score"], dtype=np.float64).T > 0
        # scipy raises whatever its parser trips over.
        except Exception as error:
            raise InputError(f"isn't one of SumMe's annotation files ({error})", str(path)) from error
        videos.append(Annotated(path.stem, _several(chosen.astype(np.float64), path), chose=True))
    return videos


def per_frame(curve: Floats, duration_s: float, frames: int) -> Floats:
    """A value for each of evenly spaced frames from a curve of one value a second."""
    seconds = (np.arange(frames) + 0.5) * duration_s / frames
    return curve[np.minimum(seconds.astype(int), len(curve) - 1)]


def shots_of(frames: int, duration_s: float) -> list[tuple[int, int]]:
    """First frame and end of each shot of two seconds; a last one may be shorter."""
    count = max(1, int(np.ceil(duration_s / SHOT_S - 1e-9)))
    edges = [min(frames, round(index * SHOT_S * frames / duration_s)) for index in range(count)] + [frames]
    return [(start, end) for start, end in pairwise(edges) if end > start]


def pack(values: list[float], lengths: list[int], room: int) -> list[int]:
    """Exact 0/1 knapsack: the items, by index, with the highest sum of values (0 or more) that fit."""
    best = np.zeros(room + 1)
    taken = np.zeros((len(values), room + 1), dtype=bool)
    for index, (value, length) in enumerate(zip(values, lengths, strict=True)):
        if length > room:
            continue
        with_it = best[:room + 1 - length] + value
        taken[index, length:] = with_it > best[length:]
        best[length:] = np.maximum(best[length:], with_it)
    chosen = []
    for index in reversed(range(len(values))):
        if taken[index, room]:
            chosen.append(index)
            room -= lengths[index]
    return chosen[::-1]


def summary(scores: Floats, shots: list[tuple[int, int]]) -> Chosen:
    """Which frames are in the best summary of 15 %, shots being worth the sum of their frames' scores.

    Scores may have any range: they are moved to 0 to 1 first. The sum, not the mean, so that a short last shot isn't
    worth as much as a whole one.
    """
    span = np.ptp(scores)
    scaled = (scores - scores.min()) / span if span > 0 else np.ones_like(scores)
    chosen: Chosen = np.zeros(len(scores), dtype=np.bool_)
    values = [float(scaled[start:end].sum()) for start, end in shots]
    for index in pack(values, [end - start for start, end in shots], int(BUDGET * len(scores))):
        chosen[slice(*shots[index])] = True
    return chosen


def f1(one: Chosen, other: Chosen) -> float:
    """Harmonic mean of precision and recall of the shared frames, 0 to 1."""
    total = int(one.sum() + other.sum())
    return 2 * int((one & other).sum()) / total if total else 0.0


def correlations(one: Floats, other: Floats) -> tuple[float, float]:
    """Kendall's tau-b and Spearman's rho; 0 where one of them ranks nothing."""
    from scipy.stats import kendalltau, spearmanr

    if np.ptp(one) == 0 or np.ptp(other) == 0:
        return 0.0, 0.0
    return float(kendalltau(one, other).statistic), float(spearmanr(one, other).statistic)


@dataclass(frozen=True, slots=True)
class Judge:
    """A person: their score for each frame, and the frames of their summary."""

    scores: Floats
    chosen: Chosen


def judges_of(video: Annotated, duration_s: float) -> list[Judge]:
    """The people of a video; who scored frames has their summary made of them as ours is."""
    shots = shots_of(video.scores.shape[1], duration_s)
    return [Judge(scores, scores > 0 if video.chose else summary(scores, shots)) for scores in video.scores]


def agreement(predicted: Floats, chosen: Chosen, judges: Sequence[Judge], best: bool) -> Agreement:
    """How like people a score for every frame, and the summary made of it, are.

    best: whether F1 is that with the person who is most like it, as for SumMe, instead of the mean
    """
    seen = predicted[::EVERY]
    tau, rho = np.mean([correlations(seen, judge.scores[::EVERY]) for judge in judges], axis=0).tolist()
    tau_mean, rho_mean = correlations(seen, np.mean([judge.scores for judge in judges], axis=0)[::EVERY])
    matches = [f1(chosen, judge.chosen) for judge in judges]
    return Agreement(tau, rho, tau_mean, rho_mean, 100 * (max(matches) if best else float(np.mean(matches))))


def mean_of(parts: Sequence[Agreement]) -> Agreement:
    """Each figure's mean."""
    return Agreement(*np.mean([astuple(part) for part in parts], axis=0).tolist())


def people_agree(video: Annotated, duration_s: float) -> Agreement:
    """How like the others each person is, on average: what can be hoped for."""
    judges = judges_of(video, duration_s)
    return mean_of([agreement(judge.scores, judge.chosen, judges[:index] + judges[index + 1:], video.chose)
                    for index, judge in enumerate(judges)])


def chance(video: Annotated, duration_s: float, draws: int = 10) -> Agreement:
    """How like people chance is: a random score for every shot, the same draws on every run."""
    rng = np.random.default_rng(0)
    shots = shots_of(video.scores.shape[1], duration_s)
    lengths = [end - start for start, end in shots]
    judges = judges_of(video, duration_s)
    drawn = [np.repeat(rng.random(len(lengths)), lengths) for _ in range(draws)]
    return mean_of([agreement(scores, summary(scores, shots), judges, video.chose) for scores in drawn])


def judge(video: Annotated, curve: Floats, duration_s: float) -> dict[str, Agreement]:
    """A video's lines of the table: ours, people and chance."""
    scores = per_frame(curve, duration_s, video.scores.shape[1])
    chosen = summary(scores, shots_of(len(scores), duration_s))
    return {"ours": agreement(scores, chosen, judges_of(video, duration_s), video.chose),
            "people": people_agree(video, duration_s), "chance": chance(video, duration_s)}
