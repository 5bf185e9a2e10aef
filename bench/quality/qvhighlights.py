"""Highlight detection on QVHighlights (Lei et al. 2021, "Detecting Moments and Highlights in Videos via Natural
Language Queries"), by the rules of its official evaluation (moment_detr, standalone_eval/eval.py, `eval_highlight`).

A video is cut into clips of two seconds. For each query three people scored each clip that has to do with it, from 0
(very bad) to 4 (very good); all other clips count as 0. Rules that are easily got wrong, each as in the official code:

- mAP is the mean over queries and people of an average precision with interpolation, in which every recall that is
  reached counts the same; it is 0 for a person to whom no clip is good enough, 1 where all are.
- HIT@1 asks whether any of the three finds the best clip good enough; the first one is the best where several tie.
- Predictions of another length than the video's are cut, or filled with zeros, for mAP. For HIT@1 they are not: a best
  clip behind the end is a miss.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from pipeline.errors import InputError

CLIP_S = 2.0
PEOPLE = 3
THRESHOLDS = {"Fair": 2, "Good": 3, "VeryGood": 4}
# A submission holds at most so many windows a query; the official evaluation reads ten.
MOST_WINDOWS = 10

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Query:
    """A line of the annotation file.

    qid, query, vid: as they are there
    duration_s: the video's length
    saliency: (clips, 3) what each person gave each clip, 0 to 4
    """

    qid: int
    query: str
    vid: str
    duration_s: float
    saliency: Floats

    @property
    def clips(self) -> int:
        """How many whole clips the video has."""
        return len(self.saliency)


@dataclass(frozen=True, slots=True)
class Figures:
    """Both measures at one threshold, in percent."""

    mean_ap: float
    hit_at_1: float


def read_annotations(path: Path) -> list[Query]:
    """The queries of a release file, such as highlight_val_release.jsonl.

    Raises InputError where it can't be read, or where a line isn't one of an annotated query.
    """
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"can't be read ({error}); give the .jsonl file of the QVHighlights release",
                         str(path)) from error
    queries = [_read_line(line, number, path) for number, line in enumerate(lines, 1) if line.strip()]
    if not queries:
        raise InputError("holds no query", str(path))
    if len({query.qid for query in queries}) < len(queries):
        raise InputError("holds a qid twice", str(path))
    return queries


def _read_line(line: str, number: int, path: Path) -> Query:
    try:
        entry = json.loads(line)
        return Query(int(entry["qid"]), str(entry["query"]), str(entry["vid"]), float(entry["duration"]),
                     saliency_of(entry))
    except KeyError as error:
        raise InputError(f"line {number} has no {error}; the test split has no annotations, use the val one",
                         str(path)) from error
    except (ValueError, TypeError, IndexError) as error:
        raise InputError(f"line {number} is no annotated query ({error})", str(path)) from error


def saliency_of(entry: Mapping[str, Any]) -> Floats:
    """(clips, 3): what people gave each clip of a video; 0 where it isn't among the relevant ones.

    Raises KeyError, ValueError or IndexError where the entry doesn't fit together.
    """
    saliency = np.zeros((int(entry["duration"] / CLIP_S), PEOPLE))
    relevant, given = list(entry["relevant_clip_ids"]), list(entry["saliency_scores"])
    if not len(saliency):
        raise ValueError(f"duration {entry['duration']} is below that of a clip")
    if len(relevant) != len(given):
        raise ValueError(f"{len(relevant)} relevant clips and {len(given)} scores")
    for clip, scores in zip(relevant, given, strict=True):
        if clip < 0 or len(scores) != PEOPLE:
            raise ValueError(f"clip {clip} with {len(scores)} scores")
        saliency[clip] = scores
    return saliency


def average_precision(positive: npt.NDArray[np.bool_], predicted: Floats) -> float:
    """Interpolated average precision, 0 to 1, as the official evaluation has it.

    The precision at a recall is the best one at that recall or a higher one; the mean is over the distinct recalls
    above 0 that some threshold on the prediction reaches. Both arrays share one length.
    """
    if not positive.any():
        return 0.0
    if positive.all():
        return 1.0
    order = np.argsort(-predicted, kind="stable")
    # Clips that tie are taken in together: only the last of each run of equals is a threshold.
    last = np.append(np.diff(predicted[order]) != 0, True)
    hits = np.cumsum(positive[order])[last]
    precision = hits / (np.flatnonzero(last) + 1)
    best = np.maximum.accumulate(precision[::-1])[::-1]
    return float(best[np.diff(hits, prepend=0) > 0].mean())


def fitted(predicted: Floats, clips: int) -> Floats:
    """A prediction cut or filled with zeros to the number of clips."""
    return np.append(predicted, np.zeros(max(0, clips - len(predicted))))[:clips]


def query_ap(saliency: Floats, predicted: Floats, least: int) -> float:
    """Mean over people of the average precision of a prediction, where a clip is good from a score of `least` on."""
    full = fitted(predicted, len(saliency))
    return float(np.mean([average_precision(person >= least, full) for person in saliency.T]))


def query_hit(saliency: Floats, predicted: Floats, least: int) -> bool:
    """Whether the first of the best clips is good to any person."""
    best = int(np.argmax(predicted))
    return best < len(saliency) and bool((saliency[best] >= least).any())


def evaluate(queries: Sequence[Query], predictions: Mapping[int, Floats]) -> dict[str, Figures]:
    """Figures at each threshold, over the queries that have a prediction (by qid); at least one must have."""
    pairs = [(query.saliency, predictions[query.qid]) for query in queries if query.qid in predictions]
    return {name: Figures(100 * float(np.mean([query_ap(truth, guess, least) for truth, guess in pairs])),
                          100 * float(np.mean([query_hit(truth, guess, least) for truth, guess in pairs])))
            for name, least in THRESHOLDS.items()}


def constant(clips: int) -> Floats:
    """The same for each clip: what can be had without looking."""
    return np.ones(clips)


def centre(clips: int) -> Floats:
    """The nearer to the middle the better: what can be had by knowing how people frame what they upload."""
    return 1 - np.abs(2 * np.arange(clips) - (clips - 1)) / clips


def clip_scores(curve: Floats, clips: int) -> Floats:
    """A score for each clip from a curve of one value a second; where it ends early, its last value goes on."""
    seconds = int(clips * CLIP_S)
    padded = np.append(curve, np.full(max(0, seconds - len(curve)), curve[-1]))[:seconds]
    return padded.reshape(clips, -1).mean(axis=1)


def windows(predicted: Floats, duration_s: float) -> list[list[float]]:
    """Runs of clips at or above the middle between the lowest and the highest score: [start, end, score], best first.

    It is what a submission needs; nothing here is judged by it.
    """
    above = predicted >= (predicted.min() + predicted.max()) / 2
    edges = np.flatnonzero(np.diff(above, prepend=False, append=False))
    runs = [[first * CLIP_S, min(last * CLIP_S, duration_s), round(float(predicted[first:last].mean()), 4)]
            for first, last in zip(edges[::2].tolist(), edges[1::2].tolist(), strict=True)]
    return sorted(runs, key=lambda run: -run[2])[:MOST_WINDOWS]


def write_predictions(path: Path, queries: Sequence[Query], predictions: Mapping[int, Floats]) -> None:
    """Predictions in the official submission format, whole or not at all."""
    lines = [json.dumps({"qid": query.qid, "query": query.query, "vid": query.vid,
                         "pred_relevant_windows": windows(predictions[query.qid], query.duration_s),
                         "pred_saliency_scores": predictions[query.qid].tolist()}, ensure_ascii=False)
             for query in queries if query.qid in predictions]
    beside = path.with_name(path.name + ".part")
    beside.write_text("".join(line + "\n" for line in lines), encoding="utf-8")
    os.replace(beside, path)
