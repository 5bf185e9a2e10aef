"""How a run stands, in the words of the page."""

from __future__ import annotations

from collections.abc import Sequence

from app import cards, timeline
from app.estimates import Estimate
from app.jobs import Run
from app.limits import Limits, megabytes
from app.waits import brief
from pipeline import Settings, SmolReelError
from pipeline.export.words import shortened
from pipeline.types import SampledFrame, VideoInfo

# Stages in the words of the page, in the order in which they run.
_STAGES = {"probe": "Open", "scan": "Find scenes", "score": "Score and describe", "speech": "Listen",
           "render": "Make the reel", "export": "Write files"}
_NOW = {"probe": "Opening the video", "scan": "Finding scenes", "score": "Scoring and describing scenes",
        "select": "Choosing", "speech": "Listening to what is said", "render": "Making the reel",
        "export": "Writing files"}
_MOST_FOUND = 12
_DOING = {"loading ": "getting the model ready", "starting PyTorch": "getting the model ready",
          "judging segments": "looking at every scene"}
# Settings, by the names of the page's fields.
_FIELDS = {"query": "What to look for", "target_s": "Length of the reel", "model": "The model", "style": "Style",
           "aspect": "Shape", "title": "Opening title", "closing": "Closing words"}
# What the core says of models, without the names of files and variables.
_PLAINLY = {"scored by what can be measured": "Picked by picture and sound alone: the model that looks could not be "
                                              "used.",
           "scores are flat": "Nothing in this video stands out, so the clips are spread over it."}


def progress(run: Run) -> str:
    """How far a run is, as HTML."""
    if run.state == "queued":
        return cards.progress(_place(run), None, "Runs take turns on this machine; yours starts by itself.",
                              f"starts in {brief(run.wait_s)}" if run.wait_s is not None else "", ())
    heading, detail = "Starting", ""
    if run.progress is not None:
        heading, detail = _NOW.get(run.progress.stage, "Working"), sentence(_detail(run.progress.message))
    if run.cancelling:
        heading, detail = "Stopping", "Everything that was begun is being put away."
    left = f"{brief(run.seconds_left)} left" if run.seconds_left is not None else _expected(run)
    return cards.progress(heading, run.fraction, detail, left, _stages(run))


def _detail(message: str) -> str:
    """What the core is doing, without devices and formats of numbers."""
    return next((plain for start, plain in _DOING.items() if message.startswith(start)), message)


def _place(run: Run) -> str:
    if run.place is None or run.place <= 1:
        return "Next in line"
    return f"Number {run.place} in line"


def _expected(run: Run) -> str:
    return f"{brief(run.estimate.seconds)} in all" if run.estimate is not None else ""


def _stages(run: Run) -> Sequence[tuple[str, str]]:
    """The stages of a run, and which of them is at work."""
    names = _needed(run.settings)
    if run.kind == "update":
        names = [name for name in names if name in ("speech", "render", "export")]
    now = run.progress.stage if run.progress is not None else "probe"
    order = list(_STAGES)
    reached = order.index(now) if now in order else order.index("render") if now == "select" else 0

    def state(name: str) -> str:
        place = order.index(name)
        return "now" if place == reached else "done" if place < reached else "next"

    return [(_STAGES[name], state(name)) for name in names]


def _needed(settings: Settings) -> list[str]:
    """The stages that a run with these settings goes through."""
    skipped = {*(() if settings.captions == "speech" else ("speech",)), *(() if settings.export else ("export",))}
    return [name for name in _STAGES if name not in skipped]


def standing(run: Run) -> str:
    """How a run stands, in two or three words."""
    if run.made is not None:
        return long(run.made.reel_s)
    return "in line" if run.state == "queued" else f"{100 * run.fraction:.0f} %"


def found(run: Run, frames: Sequence[SampledFrame]) -> str:
    """What was scored so far, best first, as HTML."""
    return cards.found(run.scored[:_MOST_FOUND], len(run.scored), frames)


def first_look(run: Run) -> str:
    """What is seen of the video before anything is known of it, as HTML."""
    return timeline.first_look(run.glance, run.video.duration_s) if run.glance and run.video else ""


def facts(video: VideoInfo) -> list[str]:
    """A video in a few words."""
    facts = [long(video.duration_s), f"{video.width} \u00d7 {video.height}", size(video.size_bytes)]
    return facts if video.has_audio else [*facts, "no sound"]


def long(seconds: float) -> str:
    """A length as people say it: 42 s, 3 min 5 s, 1 h 20 min."""
    if seconds < 9.95:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    minutes, rest = divmod(whole, 60)
    if minutes < 60:
        return f"{minutes} min {rest} s" if rest else f"{minutes} min"
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if minutes else f"{hours} h"


def size(amount: float) -> str:
    """A size in bytes as people say it."""
    if amount < 1e6:
        return f"{max(1, round(amount / 1e3))} kB"
    return f"{amount / 1e6:.0f} MB" if amount < 1e9 else f"{amount / 1e9:.1f} GB"


def complaint(error: SmolReelError) -> str:
    """What went wrong, with the page's own words for its fields."""
    subject = error.subject
    if subject in _FIELDS:
        return f"{_FIELDS[subject]}: {sentence(error.message)}"
    # What is said of files goes on from their names: "match.mp4 has only sound in it".
    return f"\u201c{subject}\u201d {error.message}." if subject else sentence(error.message)


def sentence(words: str) -> str:
    """Words with a capital and a full stop."""
    plain = words.strip()
    if not plain:
        return ""
    return plain[0].upper() + plain[1:] + ("" if plain[-1] in ".!?" else ".")


def takes(estimate: Estimate, note: str) -> str:
    """How long a run will take, before it is started, as HTML."""
    most = brief(estimate.high)
    likely = brief(estimate.seconds) if estimate.seconds >= 5 else "a few seconds"
    known = ("as measured on this machine" if estimate.measured
             else f"{most} at most; a guess until the first reel is made")
    return f'<p class="sr-estimate sr-quiet">Takes about <b>{likely}</b> ({known}).</p>{line(note)}'


def notes(warnings: Sequence[str]) -> list[tuple[str, str]]:
    """A run's warnings for people: what they mean, and what was said word for word where that is another thing."""
    return [next(((words, warning) for start, words in _PLAINLY.items() if warning.startswith(start)),
                 (sentence(_without_options(warning)), "")) for warning in warnings]


def _without_options(warning: str) -> str:
    """A warning without its advice for the command line, which is of no use here."""
    parts = [part for part in warning.split("; ") if "--" not in part]
    return "; ".join(parts) or warning


def line(words: str) -> str:
    """One quiet line."""
    return f'<p class="sr-quiet">{cards.text(words)}</p>' if words else ""


def speed(looking_s: float | None, measuring_s: float | None, note: str) -> str:
    """What the ways of scoring cost on this machine, honestly."""
    told = []
    if looking_s is not None and measuring_s is not None:
        told.append(f"For this video on this machine: looking {brief(looking_s)}, measuring only {brief(measuring_s)}.")
    else:
        told.append("Looking understands what happens and describes it; measuring goes by motion, sound and colour, "
                    "and is many times as fast.")
    return line(" ".join([*told, note]).strip())


def summary(run: Run) -> str:
    """The reel in one line, as HTML."""
    outcome = run.outcome
    assert outcome is not None
    count, whole = len(outcome.plan.clips), outcome.plan.video.duration_s or 0.0
    scorer = outcome.plan.scorer
    model = (scorer.model or scorer.name).rstrip("/").rsplit("/", 1)[-1]
    how = "picked by picture and sound" if scorer.name == "signals" else f"picked by {model}"
    told = [f"{count} clip{'' if count == 1 else 's'} of {long(whole)}", how]
    return (f'<div class="sr-summary"><h2>Your reel, {long(outcome.reel.duration_s)}</h2>'
            f'<p class="sr-quiet">{cards.dotted([shortened(run.name, 80), *told])}</p></div>')


def limits(limits: Limits) -> str:
    """What may be dropped, as HTML; the second line shows when a file is too large."""
    return (f'<p class="sr-quiet">MP4, MOV, MKV, WebM and most others, up to {megabytes(limits.max_upload_mb)} and '
            f'{long(60 * limits.max_minutes)}. '
            f'Kept for {long(60 * limits.keep_minutes)} at most, seen by nobody else.</p>'
            '<p id="too-large" class="sr-over" role="alert" hidden></p>')


def too_large(limits: Limits) -> str:
    """What is said of a file that is too large; {} stands for its name."""
    return f"{{}} is larger than {megabytes(limits.max_upload_mb)}. Cut it into parts, or save it smaller."
