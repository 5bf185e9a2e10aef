"""Serves the page: where its files lie, who may ask for what, and how it is stopped."""

from __future__ import annotations

import contextlib
import importlib.util
import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from types import FrameType

import gradio as gr
from gradio.state_holder import StateHolder

from app import answers, theme, zero
from app.folders import Folders
from app.handlers import Handlers
from app.jobs import Jobs, Limits
from pipeline import Settings, SettingsError

# Seconds after which an upload goes, at most an hour with the wait between two looks; and that wait.
KEEP_S, FORGET_EVERY_S = 3300, 240
# Gradio keeps a copy of all that a tab shows, about half a megabyte, and would of 10,000 tabs for ever.
_MOST_TABS, _TAB_S = 500, 3600
# What stopping takes of the time that is given for it, once nothing is waited for any more.
_PUTTING_AWAY_S = 3.0
_LOCAL_HOSTS = ("127.0.0.1", "localhost", "::1")


def serve(build: Callable[[Handlers], gr.Blocks], host: str | None = None, port: int | None = None,
          browser: bool = False, *, limits: Limits | None = None, auth: tuple[str, str] | None = None,
          mcp: bool = False) -> None:
    """Serve the page until it is stopped.

    build: makes the page
    host, port: where to listen; None leaves it to Gradio's own environment variables and defaults, as a Space needs
    browser: whether to open it in the user's browser, where this machine has a screen
    limits: what visitors may ask for; those of the environment where None
    auth: user name and password that visitors need; None for none
    mcp: whether to offer the page's functions to programs by the Model Context Protocol as well

    Raises SettingsError where the port is taken, or MCP's package isn't installed.
    """
    if mcp and importlib.util.find_spec("mcp") is None:
        raise SettingsError("needs a package more; install it with: pip install 'gradio[mcp]'", "--mcp")
    if zero.is_on():
        zero.call()
    limits = limits or Limits.from_environment()
    folders = _folders()
    jobs = Jobs(folders.home / "runs", limits)
    ended = threading.Event()
    try:
        page = build(Handlers(jobs, any_model=_is_local(host)))
        threading.Thread(target=_forget, args=(folders.home, page, ended), name="forget", daemon=True).start()
        _stop_cleanly(jobs, page, limits.stop_seconds)
        page.queue(max_size=64).launch(
            server_name=host, server_port=port, theme=theme.theme(), css_paths=theme.STYLE_SHEET, head=theme.head(),
            favicon_path=theme.ICON, auth=auth, mcp_server=mcp, show_error=False, pwa=True, run_history=False,
            ssr_mode=False, footer_links=["api"], max_file_size=int(limits.max_upload_mb * 1e6),
            state_session_capacity=_MOST_TABS, blocked_paths=[str(path) for path in folders.home.rglob(".lock")],
            inbrowser=browser and _has_screen(), app_kwargs=answers.around(jobs))
    except OSError as error:
        raise SettingsError("is taken by another program; choose another with --port", f"port {port}") from error
    finally:
        ended.set()
        jobs.close()
        folders.close()


def _folders() -> Folders:
    """Where Gradio keeps what visitors send, and we what is made of it: a folder that only this user may enter, and
    that goes with this process, or when the next one finds it abandoned.
    """
    named = os.environ.get("GRADIO_TEMP_DIR")
    folders = Folders((Path(named) if named else Settings().cache_dir / "page").resolve())
    folders.sweep()
    os.environ["GRADIO_TEMP_DIR"] = str(folders.home)
    return folders


def _forget(home: Path, page: gr.Blocks, ended: threading.Event) -> None:
    """Delete what visitors sent once it is old, also the halves of uploads that broke off; runs see to their own. Let
    go of tabs that were closed, or in which nothing was done for as long as anything is kept.
    """
    while not ended.wait(FORGET_EVERY_S):
        forget_old(home, time.time() - KEEP_S)
        forget_tabs(page, time.time() - _TAB_S)


def forget_tabs(page: gr.Blocks, before: float) -> None:
    """Let go of what Gradio keeps of tabs that were last used before a time, in seconds of `time.time`.

    A tab that is used again after all is as if it had just been opened; the run in its address is found by a reload.
    """
    holder: StateHolder = page.state_holder
    for tab, used in list(holder.time_last_used.items()):
        if used.timestamp() < before:
            with holder.lock:
                holder.session_data.pop(tab, None)
                holder.time_last_used.pop(tab, None)


def forget_old(home: Path, before: float) -> None:
    """Delete files that came before a time, in seconds of `time.time`, and the folders that this leaves empty."""
    for top in home.iterdir():
        if top.name in ("runs", ".lock"):
            continue
        # What a run deletes at the same time is looked at again next time.
        with contextlib.suppress(OSError):
            for path in sorted([top, *top.rglob("*")], reverse=True):
                with contextlib.suppress(OSError):
                    if path.is_dir():
                        path.rmdir()
                    elif path.stat().st_ctime < before:
                        path.unlink()


def _is_local(host: str | None) -> bool:
    """Whether only people on this machine can reach the page."""
    listens = host or os.environ.get("GRADIO_SERVER_NAME") or _LOCAL_HOSTS[0]
    return listens in _LOCAL_HOSTS and not os.environ.get("SPACE_ID") and not os.environ.get("GRADIO_SHARE")


def _stop_cleanly(jobs: Jobs, page: gr.Blocks, stop_s: float) -> None:
    """Being asked to end by SIGTERM lets what runs be finished, for as long as that takes less than `stop_s`; being
    asked once more, as by Ctrl-C, puts away at once what was begun.
    """
    if threading.current_thread() is not threading.main_thread():
        return

    def finish() -> None:
        jobs.finish(max(0.0, stop_s - _PUTTING_AWAY_S))
        # Also tells the pages that are open, which would listen for news for ever, and be waited for.
        page.close(verbose=False)

    def ask(number: int, frame: FrameType | None) -> None:
        signal.signal(signal.SIGTERM, signal.default_int_handler)
        # Not a daemon: the process ends when this has.
        threading.Thread(target=finish, name="finish runs").start()

    signal.signal(signal.SIGTERM, ask)


def _has_screen() -> bool:
    """Whether a browser would open in a window; without a screen, a text browser would take over the terminal."""
    return sys.platform in ("win32", "darwin") or bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))
