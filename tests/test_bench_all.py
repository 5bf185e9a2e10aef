"""All measurements into one file: which are run with what, and what the file tells."""

from __future__ import annotations

import datetime
from pathlib import Path

from bench import fresh
from bench.all import CALLS, MEDIA, Call, Done, calls, document, scripts


def test_every_script_of_the_folder_is_run() -> None:
    here = scripts()
    assert {"scan", "growth", "whole", "again", "render", "memory", "vlm", "planted", "crowd"} <= set(here)
    assert not {"all", "fresh", "fresh_child", "reporting", "robustness_child"} & set(here)
    assert {call.script for call in calls(here)} == set(here)
    assert [call for call in calls([*here, "zoo"]) if call.script == "zoo"] == [Call("zoo")]
    assert {call.script for call in calls(here, ["growth"])} == {"growth"}
    assert calls(["growth"]) == [call for call in CALLS if call.script == "growth"]


def test_an_option_without_a_value_is_left_out() -> None:
    call = Call("scan", ("--runs", "3", "--media", MEDIA), ("--runs", "1"))
    assert call.arguments(False, {MEDIA: "clips"}) == ["--runs", "3", "--media", "clips"]
    assert call.arguments(False, {MEDIA: None}) == ["--runs", "3"]
    assert call.arguments(True, {MEDIA: "clips"}) == ["--runs", "1"]


def test_the_file_has_what_was_printed_and_names_what_failed() -> None:
    done = [Done("python -m bench.scan", fresh.Ended(0, 12.4), "way  seconds\nwarm     1.00\n"),
            Done("python -m bench.whole", fresh.Ended(2, 1.0), "no such file: /home/me/film.mp4")]
    text = document(done, datetime.date(2026, 1, 2), [("cores", "2")], False, ["/home/me"])
    assert "2026-01-02" in text and "| cores | 2 |" in text
    assert "## `python -m bench.scan`\n\n12 s\n\n```text\nway  seconds\nwarm     1.00\n```" in text
    assert "**Failed:** `python -m bench.whole`" in text and "**ended with status 2**" in text
    assert "no such file: …/film.mp4" in text and "/home/me" not in text
    assert "**Failed:**" not in document(done[:1], datetime.date(2026, 1, 2), [], False)


def test_a_process_of_its_own_tells_how_it_ended(tmp_path: Path) -> None:
    output = tmp_path / "printed.txt"
    fine = fresh.program("platform", ["--terse"], output)
    assert fine.status == 0 and fine.own_mb > 1 and fine.seconds > 0 and output.read_text().strip()
    failed = fresh.program("bench.memory", ["--clips", "0"], output)
    assert failed.status == 2 and "invalid choice" in failed.said
    assert fresh.call("bench.reporting:verdict", value=1, bar=2).result == "at most 2: kept"


def test_a_process_that_is_not_done_in_time_is_ended() -> None:
    ended = fresh.program("http.server", ["--bind", "127.0.0.1", "0"], timeout_s=2)
    assert ended.status == 124 and "not done after 2 s" in ended.said
