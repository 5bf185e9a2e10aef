"""The command line: `python -m app reel|render|ui|cache`."""

from __future__ import annotations

import io
import re
import signal
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Iterable
from json import dumps
from pathlib import Path
from types import FrameType
from typing import Annotated, Any

import typer

from app import upkeep
from app.console import Console, JsonConsole, RichConsole
from app.limits import Limits, auth_from_environment, parse_auth
from app.presenters import one_line
from pipeline import (
    Cancelled,
    CancelToken,
    Plan,
    Settings,
    SmolReelError,
    Style,
    make_reel,
    presets,
    read_plan,
    render,
)
from pipeline.batch.work import FAILED, Outcome
from pipeline.errors import FFmpegError, SettingsError
from pipeline.media.files import folder_name
from pipeline.settings import ASPECTS, CAPTIONS, EXPORTS, FRAMINGS, RENDERS

DONE, FAULT, BAD_INPUT, CANCELLED = 0, 1, 2, 130

shell = typer.Typer(add_completion=False, no_args_is_help=True, rich_markup_mode=None,
                    help="Turn a long video into a short highlight reel, on your own machine.")

Out = Annotated[Path, typer.Option("-o", "--out", help="Folder for the results.")]
CacheDir = Annotated[Path | None, typer.Option("--cache-dir", help="Where results are kept between runs.")]
CacheMaxGb = Annotated[float | None, typer.Option("--cache-max-gb", metavar="GB",
                                                  help="Most that is kept after a run; what was used last stays.")]
NoCache = Annotated[bool, typer.Option("--no-cache", help="Keep nothing between runs.")]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object a line.")]


@shell.command()
def reel(
    videos: Annotated[list[str], typer.Argument(metavar="VIDEO...", help="Videos, and folders of videos.")],
    out: Annotated[str, typer.Option("-o", "--out", help="Folder for the results.")],
    target: Annotated[float | None, typer.Option(metavar="SECONDS", help="Length of the reel at most.")] = None,
    scorer: Annotated[str | None, typer.Option(help="auto, smolvlm2 or signals.")] = None,
    model: Annotated[str | None, typer.Option(metavar="ID_OR_DIR", help="SmolVLM2 model.")] = None,
    preset: Annotated[str | None, typer.Option(help=f"Kind of video: {', '.join(presets.NAMES)}.")] = None,
    query: Annotated[str | None, typer.Option(metavar="TEXT", help="What to look for; several parted by ;.")] = None,
    pin: Annotated[list[str] | None, typer.Option(metavar="FROM-TO", help="Always in the reel: 1:05-1:20.")] = None,
    ban: Annotated[list[str] | None, typer.Option(metavar="FROM-TO", help="Never in the reel.")] = None,
    render_mode: Annotated[str | None, typer.Option("--render", help=f"{', '.join(RENDERS)}.")] = None,
    aspect: Annotated[str | None, typer.Option(help=f"Shape of the reel: {', '.join(ASPECTS)}.")] = None,
    framing: Annotated[str | None, typer.Option(help=f"How another shape is filled: {', '.join(FRAMINGS)}.")] = None,
    captions: Annotated[str | None, typer.Option(help=f"Words in the picture: {', '.join(CAPTIONS)}.")] = None,
    speech_model: Annotated[str | None, typer.Option(metavar="ID_OR_DIR", help="Whisper model, for speech.")] = None,
    speech_language: Annotated[str | None, typer.Option(metavar="CODE", help="Spoken language, such as en.")] = None,
    title: Annotated[str | None, typer.Option(metavar="TEXT", help="Opening title of a styled reel.")] = None,
    closing: Annotated[str | None, typer.Option(metavar="TEXT", help="Closing card of a styled reel.")] = None,
    music: Annotated[Path | None, typer.Option(metavar="FILE", help="Music under a styled reel.")] = None,
    font: Annotated[str | None, typer.Option(metavar="FILE_OR_NAME", help="Font of words in the picture.")] = None,
    export: Annotated[str | None, typer.Option(metavar="NAME,...", help=f"Also write: {', '.join(EXPORTS)}.")] = None,
    device: Annotated[str | None, typer.Option(help="auto, cpu, cuda or mps.")] = None,
    detail: Annotated[str | None, typer.Option(help="How closely SmolVLM2 looks: fast, balanced or full.")] = None,
    cluster: Annotated[str | None, typer.Option(
        metavar="auto|HOST:PORT", help="Share the work out with Ray; VIDEO and OUT may be folders' addresses.")] = None,
    jobs: Annotated[int | None, typer.Option(metavar="N", help="Videos at work at once.")] = None,
    again: Annotated[bool, typer.Option("--again", help="Make anew what an earlier run has made.")] = False,
    gpu_share: Annotated[float | None, typer.Option(metavar="SHARE", help="Of a GPU, for each model there.")] = None,
    cluster_store: Annotated[str | None, typer.Option(
        metavar="DIR_OR_URL", help="Where machines keep stages' results for each other; in OUT by default.")] = None,
    no_cache: NoCache = False,
    cache_dir: CacheDir = None,
    cache_max_gb: CacheMaxGb = None,
    json: Json = False,
) -> None:
    """Make a highlight reel of each VIDEO, and of each in folders: OUT/<name>/reel.mp4 and plan.json.

    Of several there are also OUT/summary.html and summary.csv, and what an earlier run has made is left alone.
    """
    settings = _settings(preset, target_s=target, scorer=scorer, model=model, query=query, render=render_mode,
                         aspect=aspect, framing=framing, captions=captions, speech_model=speech_model,
                         speech_language=speech_language, export=_names(export), device=device, detail=detail,
                         style=_style(title=title, closing=closing, font=font,
                                      music=music and music.absolute()),
                         pinned=_stretches(pin, "--pin"), banned=_stretches(ban, "--ban"),
                         **_kept(no_cache, cache_dir, cache_max_gb))
    console = JsonConsole() if json else RichConsole()
    if cluster is not None:
        if again:
            raise SettingsError("isn't for clusters; choose another folder for the results", "--again")
        _on_cluster(videos, out, settings, console, address=cluster, jobs=jobs, gpu_share=gpu_share,
                    store=cluster_store)
        return
    if len(videos) > 1 or Path(videos[0]).is_dir():
        _here(videos, out, settings, console, jobs, again)
        return
    path = Path(videos[0])

    def work(console: Console, token: CancelToken) -> Any:
        return make_reel(path, settings, out, report=console.progress, cancel=token)

    _run([(path.name, work)], console, settings)


@shell.command("render")
def render_command(
    plan: Annotated[Path, typer.Argument(metavar="PLAN_JSON", help="A plan.json, edited or not.")],
    out: Out,
    no_cache: NoCache = False,
    cache_dir: CacheDir = None,
    cache_max_gb: CacheMaxGb = None,
    json: Json = False,
) -> None:
    """Render a plan again, for example one that you edited."""
    chosen = read_plan(plan)
    settings = Settings.from_json(chosen.settings).with_given(**_kept(no_cache, cache_dir, cache_max_gb))

    def work(console: Console, token: CancelToken) -> Any:
        return render(chosen, out, settings, name=_folder_of(plan, chosen), report=console.progress, cancel=token)

    _run([(Path(chosen.video.path).name, work)], JsonConsole() if json else RichConsole(), settings)


@shell.command()
def ui(
    host: Annotated[str, typer.Option(help="Address to listen on; 0.0.0.0 lets others in.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="Port to listen on.")] = 7860,
    auth: Annotated[str | None, typer.Option(metavar="USER:PASSWORD", help="Ask visitors for these.")] = None,
    max_upload_mb: Annotated[float | None, typer.Option(metavar="MB", help="Largest video that is taken.")] = None,
    max_minutes: Annotated[float | None, typer.Option(metavar="MINUTES", help="Longest video that is taken.")] = None,
    keep_minutes: Annotated[float | None, typer.Option(
        metavar="MINUTES", help="How long videos and reels are kept, 60 at most.")] = None,
    mcp: Annotated[bool, typer.Option("--mcp", help="Also serve tools for programs, by MCP.")] = False,
) -> None:
    """Open the page.

    Also from the environment: SMOLREEL_AUTH, SMOLREEL_MAX_UPLOAD_MB, SMOLREEL_MAX_MINUTES, SMOLREEL_KEEP_MINUTES,
    SMOLREEL_QUEUE, the number of runs that may wait, and SMOLREEL_STOP_SECONDS, within which the page ends when it is
    asked to by SIGTERM: runs that would take longer are cancelled. A password on a command line can be seen by
    others on this machine; in SMOLREEL_AUTH it can't.
    """
    limits = Limits.from_environment().with_given(max_upload_mb=max_upload_mb, max_minutes=max_minutes,
                                                  keep_minutes=keep_minutes)
    users = parse_auth(auth) or auth_from_environment()
    # Gradio takes seconds to import, which the other commands shall not wait for.
    from app.ui import launch

    launch(host, port, browser=True, limits=limits, auth=users, mcp=mcp)


@shell.command()
def cache(
    clear: Annotated[bool, typer.Option("--clear", help="Delete all that no run is using.")] = False,
    cache_dir: CacheDir = None,
    json: Json = False,
) -> None:
    """Show what is kept between runs, or clear it."""
    settings = Settings().with_given(cache_dir=cache_dir)
    root = settings.cache_dir
    if clear:
        taken = upkeep.clear(root)
        facts, lines = upkeep.cleared_facts(root, taken), [upkeep.cleared_line(root, taken)]
    else:
        facts = upkeep.survey(root, settings.cache_max_bytes)
        lines = upkeep.survey_lines(facts)
    print(dumps(facts) if json else "\n".join(map(one_line, lines)))


def main(arguments: list[str] | None = None) -> int:
    """Run the command line and return its exit status; no traceback reaches the user."""
    for stream in (sys.stdout, sys.stderr):
        # File names need not be text.
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    try:
        return int(shell(arguments, prog_name="smolreel", standalone_mode=False) or DONE)
    except typer.TyperException as error:
        return _complain(error.format_message() + " See --help.", BAD_INPUT)
    except SmolReelError as error:
        return _complain(str(error), BAD_INPUT)
    except typer.Exit as done:
        return done.exit_code
    except (typer.Abort, KeyboardInterrupt):
        return CANCELLED
    except Exception:
        return _complain(_log_fault("something went wrong on our side", Settings().cache_dir), FAULT)


def _run(jobs: Iterable[tuple[str, Callable[[Console, CancelToken], Any]]], console: Console,
         settings: Settings) -> None:
    """Do the jobs one after another, going on after one that fails, and exit with the worst of their statuses."""
    token = CancelToken()
    _cancel_on_signals(token)
    failed: list[tuple[str, int]] = []
    count = 0
    for subject, work in jobs:
        count += 1
        status = _attempt(subject, work, console, token, settings)
        if status == CANCELLED:
            raise typer.Exit(CANCELLED)
        if status != DONE:
            failed.append((subject, status))
    if failed and count > 1:
        console.error("", f"{len(failed)} of {count} videos failed: {', '.join(name for name, _ in failed)}")
    if failed:
        raise typer.Exit(FAULT if any(status == FAULT for _, status in failed) else BAD_INPUT)


def _here(videos: list[str], out: str, settings: Settings, console: Console, jobs: int | None, again: bool) -> None:
    """Make many reels on this machine, and exit with the worst of their statuses."""
    from app.many import make_here

    _many(lambda token: make_here(videos, out, settings, console, token, jobs, again), console, settings)


def _on_cluster(videos: list[str], out: str, settings: Settings, console: Console, **given: Any) -> None:
    """Have a cluster make the reels, and exit with the worst of their statuses."""
    from app.clusters import make_all
    from pipeline.batch.cluster import ClusterSettings

    def make(token: CancelToken) -> list[Outcome]:
        cluster = ClusterSettings(**{name: value for name, value in given.items() if value is not None})
        return make_all(videos, out, settings, cluster, console, token)

    _many(make, console, settings)


def _many(make: Callable[[CancelToken], list[Outcome]], console: Console, settings: Settings) -> None:
    """Make many reels, and exit with the worst of their statuses."""
    token = CancelToken()
    _cancel_on_signals(token)
    outcomes: list[Outcome] = []
    status = _attempted("", lambda: outcomes.extend(make(token)), console, settings,
                        "what is done stays done; the same command goes on from there")
    if status == DONE:
        failed = [outcome for outcome in outcomes if outcome.state == FAILED]
        status = DONE if not failed else FAULT if any(outcome.fault for outcome in failed) else BAD_INPUT
    if status != DONE:
        raise typer.Exit(status)


def _attempt(subject: str, work: Callable[[Console, CancelToken], Any], console: Console, token: CancelToken,
             settings: Settings) -> int:
    """Do one job, show what came of it, and return its exit status."""
    def once() -> None:
        with console.running(subject):
            result = work(console, token)
        console.result(subject, result)

    return _attempted(subject, once, console, settings)


def _attempted(subject: str, work: Callable[[], None], console: Console, settings: Settings,
               left: str = "nothing was left behind") -> int:
    """Do something, show what goes wrong, and return the exit status."""
    try:
        work()
    except Cancelled:
        console.error(subject, f"cancelled; {left}")
        return CANCELLED
    except FFmpegError as error:
        console.error(subject, _log_fault(error.message, settings.cache_dir))
        return FAULT
    except SmolReelError as error:
        about = error.subject if error.subject and error.subject != subject else None
        console.error(subject, f"{about}: {error.message}" if about else error.message)
        return BAD_INPUT
    except Exception:
        console.error(subject, _log_fault("something went wrong on our side", settings.cache_dir))
        return FAULT
    return DONE


def _settings(preset: str | None, **given: Any) -> Settings:
    """Settings from what was given on the command line, which wins over the preset."""
    defaults = Settings() if preset is None else presets.with_preset(Settings(), preset)
    return defaults.with_given(**given)


def _kept(no_cache: bool, cache_dir: Path | None, most_gb: float | None) -> dict[str, Any]:
    """Settings of the cache, from what was given."""
    return {"cache": False if no_cache else None, "cache_dir": cache_dir,
            "cache_max_bytes": None if most_gb is None else most_gb * 1e9}


def _style(**given: Any) -> Style | None:
    """What was given of the style; None where nothing was."""
    known = {name: str(value) for name, value in given.items() if value is not None}
    return Style(**known) if known else None


def _names(text: str | None) -> tuple[str, ...] | None:
    """A list of names that commas part."""
    return None if text is None else tuple(name.strip() for name in text.split(",") if name.strip())


def _stretches(texts: list[str] | None, option: str) -> tuple[tuple[float, float], ...] | None:
    """Stretches of the video, each written as from-to in seconds or on the clock; None where none were given."""
    if not texts:
        return None
    return tuple(_stretch(part.strip(), option) for text in texts for part in text.split(",") if part.strip())


def _stretch(text: str, option: str) -> tuple[float, float]:
    """Such as 65-80, 1:05-1:20 or 1:02:05-1:02:20.5."""
    found = re.fullmatch(r"((?:\d+:){0,2}\d+(?:\.\d+)?)\s*-\s*((?:\d+:){0,2}\d+(?:\.\d+)?)", text)
    if not found:
        raise SettingsError(f"{text!r} is no stretch of a video; write it as 1:05-1:20", option)
    start_s, end_s = (sum(float(unit) * 60 ** n for n, unit in enumerate(reversed(clock.split(":"))))
                      for clock in found.groups())
    return start_s, end_s


def _folder_of(plan_file: Path, plan: Plan) -> str | None:
    """The folder name that a plan's reel had, where it was numbered because two videos share a stem."""
    stem, folder = folder_name(Path(plan.video.path)), plan_file.absolute().parent.name
    return folder if folder.startswith(f"{stem}-") and folder.removeprefix(f"{stem}-").isdigit() else None


def _cancel_on_signals(token: CancelToken) -> None:
    """The first Ctrl-C (or termination) asks the run to stop and clean up, the second stops it at once."""
    def ask(number: int, _: FrameType | None) -> None:
        token.cancel()
        signal.signal(number, signal.default_int_handler)

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, ask)


def _log_fault(message: str, cache_dir: Path) -> str:
    """Write the traceback to a file and return the line that names it."""
    for folder in (cache_dir / "logs", Path(tempfile.gettempdir())):
        path = folder / f"smolreel-{time.strftime('%Y%m%d-%H%M%S')}.log"
        try:
            folder.mkdir(parents=True, exist_ok=True)
            error = sys.exc_info()[1]
            path.write_text(traceback.format_exc() + getattr(error, "detail", ""))
        except OSError:
            continue
        return f"{message}; the details for a report are in {path}"
    return f"{message}; no log of it could be written"


def _complain(message: str, status: int) -> int:
    """Say what is wrong in one line on standard error."""
    print(f"smolreel: {one_line(message)}", file=sys.stderr)
    return status


if __name__ == "__main__":
    sys.exit(main())
