"""What the summaries show: everything that was made, escaped, with links that lead there."""

from __future__ import annotations

import csv
import io
from pathlib import Path

from pipeline.batch.summary import PAGE, TABLE, csv_text, page_of, remembered, summaries
from pipeline.batch.work import DONE, DUPLICATE, FAILED, Item, Outcome
from pipeline.types import Clip

OUT = Path("/results")
CLIPS = tuple(Clip(10.0 * n, 10.0 * n + 4.5, score, f"moment {n}", "why")
              for n, score in enumerate((0.1, 0.9, 0.5, 0.8)))


def outcome(title: str = "a.mp4", name: str = "a", **given: object) -> Outcome:
    """A reel that was made."""
    facts = {"state": DONE, "reel": str(OUT / name / "reel.mp4"), "video_s": 60.0, "reel_s": 18.0, "clips": CLIPS,
             "pictures": (b"\xff\xd8one", b"\xff\xd8two", b"\xff\xd8three"), **given}
    return Outcome(Item(f"/films/{title}", name, title), **facts)  # type: ignore[arg-type]


def rows(*outcomes: Outcome) -> list[dict[str, str]]:
    """The table, read again."""
    return list(csv.DictReader(io.StringIO(csv_text(outcomes, OUT))))


def test_a_row_a_video() -> None:
    (row,) = rows(outcome(exports=("/results/a/reel.srt",), warnings=("note",)))
    assert row["reel"] == "a/reel.mp4" and row["plan"] == "a/plan.json" and row["exports"] == "reel.srt"
    assert row["video_s"] == "60.000" and row["reel_s"] == "18.000" and row["clips"] == "4"
    assert row["top_moments"] == "0:10.0 - 0:14.5 moment 1 | 0:20.0 - 0:24.5 moment 2 | 0:30.0 - 0:34.5 moment 3"


def test_no_cell_is_a_formula() -> None:
    bad = outcome("=cmd|' /C calc'!A0", "@x", clips=(Clip(0, 1, 0.5, "+1", ""),), warnings=("-2+3",))
    assert not [value for value in rows(bad)[0].values() if value.startswith(("=", "+", "-", "@"))]


def test_the_page_shows_all_and_links_there() -> None:
    copy = outcome("copy.mp4", "copy", state=DUPLICATE, message="the same as a.mp4")
    failed = Outcome(Item("/films/b.mp4", "b", "b.mp4"), FAILED, "is no video; save it again")
    text = page_of([outcome(), copy, failed], OUT, left=2)
    assert text.count("data:image/jpeg;base64,") == 3 and text.count("<time>") == 3
    assert "Moment 3" in text and "Moment 0" not in text
    assert 'href="./a/reel.mp4"' in text and 'href="./a/plan.json"' in text
    assert "0:18.0 of 1:00.0" in text and "4 clips" in text
    assert "is no video; save it again" in text and "the same as a.mp4" in text
    assert "<b>2</b>not done" in text and "<b>1</b>failed" in text


def test_what_comes_from_outside_is_escaped() -> None:
    evil = '"><script>alert(1)</script>'
    made = outcome(evil, 'a"b?#:\udcff', clips=(Clip(0, 1, 0.5, evil, evil),), warnings=(evil,),
                   exports=(f"/results/{evil}",))
    text = page_of([made, Outcome(Item("x", "x", evil), FAILED, evil)], OUT)
    assert "<script" not in text and 'href="./a%22b%3F%23%3A%FF/reel.mp4"' in text
    text.encode()


def test_both_files_are_there() -> None:
    files = summaries([outcome("\u00e9.mp4", clips=())], OUT)
    assert set(files) == {"summary.csv", "summary.html"} == {TABLE, PAGE}
    assert files["summary.csv"].startswith(b"\xef\xbb\xbf")


def test_reels_at_an_address_are_called_from_there() -> None:
    made = outcome(reel="memory://reels/day 1/a/reel.mp4", exports=("memory://reels/day 1/a/reel.srt",))
    for out in ("memory://reels/day 1", "memory://reels/day 1/"):
        assert 'href="./a/reel.mp4"' in page_of([made], out) and 'href="./a/reel.srt"' in page_of([made], out)
        assert ",a/reel.mp4,a/plan.json," in csv_text([made], out)


def test_pictures_are_kept_of_as_many_as_are_shown() -> None:
    assert remembered(outcome(), 599).pictures and not remembered(outcome(), 600).pictures
    text = page_of([outcome(pictures=(b"x",), clips=CLIPS[:1])] * 601, OUT)
    assert text.count("data:image/jpeg") == 600 and text.count("<li class=\"clip\">") == 601
