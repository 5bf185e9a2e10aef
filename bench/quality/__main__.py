"""How good what a scorer finds is, by public annotation files, which aren't shipped: give their paths.

    python -m bench.quality qvhighlights --annotations highlight_val_release.jsonl --scorer centre
    python -m bench.quality qvhighlights --annotations highlight_val_release.jsonl --scorer smolvlm2 --videos DIR
    python -m bench.quality tvsum --annotations ydata-tvsum50-anno.tsv --videos DIR --scorer signals
    python -m bench.quality summe --annotations SumMe/GT --videos SumMe/videos --scorer signals

On the val split of QVHighlights `--scorer constant` must print 11.0 mAP and 15.0 HIT@1 at VeryGood, and
`--scorer centre` 18.5 and 21.8: published figures by which to see that file and protocol are the right ones. We had no
such file to check them with; the protocol's rules are tested one by one. Videos that the folder hasn't are passed
over, and said. tvsum and summe need scipy (requirements-dev.txt).
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from bench.quality import qvhighlights, summaries
from bench.quality.qvhighlights import Floats, Query
from bench.quality.running import Runner, missing, said, videos_in
from bench.quality.summaries import Agreement, Annotated
from pipeline import InputError, OutputError, Settings, SmolReelError

LOOKS = ("signals", "smolvlm2")
PRIORS: dict[str, Callable[[int], Floats]] = {"constant": qvhighlights.constant, "centre": qvhighlights.centre}


def predict(queries: Sequence[Query], runner: Runner, videos: dict[str, Path]) -> dict[int, Floats]:
    """A prediction for each query whose video is here, by qid."""
    here = sorted((query for query in queries if query.vid in videos), key=lambda query: query.vid)
    predictions = {}
    for number, query in enumerate(here, 1):
        print(f"{number} of {len(here)}: {query.vid}", file=sys.stderr, flush=True)
        curve = runner.analysis(videos[query.vid], query.query).scored.curve
        predictions[query.qid] = qvhighlights.clip_scores(curve, query.clips)
    return predictions


def run_qvhighlights(options: argparse.Namespace) -> None:
    """Prints the figures at each threshold."""
    queries = qvhighlights.read_annotations(options.annotations)
    if options.scorer in PRIORS:
        predictions = {query.qid: PRIORS[options.scorer](query.clips) for query in queries}
    else:
        videos = _videos(options, [query.vid for query in queries])
        predictions = predict(queries, Runner(_settings(options)), videos)
    if options.predictions:
        try:
            qvhighlights.write_predictions(options.predictions, queries, predictions)
        except OSError as error:
            raise OutputError(f"can't be written ({error.strerror})", str(options.predictions)) from error
    print(f"QVHighlights, {options.scorer}: {len(predictions)} of {len(queries)} queries")
    print(f"{'good from':10} {'mAP':>6} {'HIT@1':>6}")
    for name, figures in qvhighlights.evaluate(queries, predictions).items():
        print(f"{name:10} {figures.mean_ap:6.2f} {figures.hit_at_1:6.2f}")


def run_summaries(options: argparse.Namespace) -> None:
    """Prints how like people we are, how like one another they are, and how like them chance is."""
    read, title = {"tvsum": (summaries.read_tvsum, "TVSum"), "summe": (summaries.read_summe, "SumMe")}[options.set]
    annotated: list[Annotated] = read(options.annotations)
    videos = _videos(options, [video.name for video in annotated])
    here = [video for video in annotated if video.name in videos]
    runner = Runner(_settings(options))
    lines: dict[str, list[Agreement]] = {}
    for number, video in enumerate(here, 1):
        print(f"{number} of {len(here)}: {video.name}", file=sys.stderr, flush=True)
        analysis = runner.analysis(videos[video.name])
        for name, found in summaries.judge(video, analysis.scored.curve, analysis.scan.duration_s).items():
            lines.setdefault(name, []).append(found)
    print(f"{title}, {options.scorer}: {len(here)} of {len(annotated)} videos")
    print(f"{'who':8} {'tau':>7} {'rho':>7} {'tau':>9} {'rho':>9} {'F1':>6}")
    print(f"{'':8} {'with each':>15} {'with their mean':>19} {'%':>6}")
    for name, parts in lines.items():
        mean = summaries.mean_of(parts)
        print(f"{name:8} {mean.tau:7.3f} {mean.rho:7.3f} {mean.tau_mean:9.3f} {mean.rho_mean:9.3f} {mean.f1:6.1f}")


def _videos(options: argparse.Namespace, names: list[str]) -> dict[str, Path]:
    """The folder's videos; what it lacks is said."""
    if options.videos is None:
        raise InputError(f"looks at videos; give their folder with --videos, or use {' or '.join(PRIORS)}"
                         if options.set == "qvhighlights" else "looks at videos; give their folder with --videos",
                         f"--scorer {options.scorer}")
    videos = videos_in(options.videos)
    absent, total = missing(names, videos), len(set(names))
    if len(absent) == total:
        raise InputError(f"holds none of the annotated videos, such as {absent[0]}.mp4", str(options.videos))
    if absent:
        print(said(absent, total), flush=True)
    return videos


def _settings(options: argparse.Namespace) -> Settings:
    """Which scorer, which model and where; the rest is as anyone gets it."""
    given = {"model": options.model, "device": options.device}
    return Settings(scorer=options.scorer, **{name: value for name, value in given.items() if value is not None})


def parser() -> argparse.ArgumentParser:
    """What can be said on the command line."""
    top = argparse.ArgumentParser("python -m bench.quality", description=__doc__,
                                  formatter_class=argparse.RawDescriptionHelpFormatter)
    sets = top.add_subparsers(dest="set", required=True)
    for name, what in (("qvhighlights", "highlight_val_release.jsonl"), ("tvsum", "ydata-tvsum50-anno.tsv"),
                       ("summe", "the GT folder")):
        one = sets.add_parser(name)
        one.add_argument("--annotations", type=Path, required=True, help=what)
        one.add_argument("--videos", type=Path, help="folder of videos, named as in the annotations")
        one.add_argument("--scorer", choices=(*PRIORS, *LOOKS) if name == "qvhighlights" else LOOKS,
                         default="signals")
        one.add_argument("--model", help="for smolvlm2: an id on the hub, or a folder")
        one.add_argument("--device")
        if name == "qvhighlights":
            one.add_argument("--predictions", type=Path, help="write them here, in the official submission format")
    return top


def main(arguments: Sequence[str] | None = None) -> int:
    """Prints the table; 2 where something given is at fault."""
    options = parser().parse_args(arguments)
    try:
        (run_qvhighlights if options.set == "qvhighlights" else run_summaries)(options)
    except SmolReelError as error:
        print(f"bench.quality: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
