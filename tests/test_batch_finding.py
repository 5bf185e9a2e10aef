"""What a folder holds: each video once, under one name in every run, and everything else quietly."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from pipeline import Cancelled, CancelToken, Settings
from pipeline.batch.finding import Found, begins_like_a_video, find
from tests.making import textured, write_video

SETTINGS = Settings(scorer="signals")


def found_in(*sources: Path, out: Path | None = None) -> Found:
    """What is found, with results elsewhere."""
    return find(sources, out or sources[0].parent / "out", SETTINGS, CancelToken())


def names(found: Found) -> dict[str, str]:
    """Names of result folders by title."""
    return {item.title: item.name for item in found.items}


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A very short video."""
    return write_video(tmp_path_factory.mktemp("clip") / "clip.mp4", [textured(1)] * 5)


def other(path: Path, seed: int = 2) -> Path:
    """A video unlike the others."""
    path.parent.mkdir(parents=True, exist_ok=True)
    return write_video(path, [textured(seed)] * 5)


def test_a_tree(tmp_path: Path, clip: Path) -> None:
    folder = tmp_path / "trip"
    (folder / "day 2" / ".hidden").mkdir(parents=True)
    shutil.copy(clip, folder / "b.mp4")
    shutil.copy(clip, folder / ".c.mp4")
    shutil.copy(clip, folder / "day 2" / ".hidden" / "d.mp4")
    other(folder / "day 2" / "a.mov")
    for number in range(3):
        (folder / f"notes {number}.txt").write_text("no video")
    found = found_in(folder)
    assert names(found) == {"b.mp4": "b", str(Path("day 2", "a.mov")): "day 2/a"}
    assert found.passed == 3 and not found.others
    assert found == found_in(folder)


def test_what_is_a_video_is_not_decided_by_its_name(tmp_path: Path, clip: Path) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    shutil.copy(clip, folder / "no ending")
    shutil.copy(clip, folder / "MOVI0001.DAT")
    other(folder / "x.mp4").rename(folder / "clip.ts")
    # TypeScript, sound in a video's container, something that only begins like one, and a page that is called a video.
    (folder / "main.ts").write_text("GET();" * 1000)
    shutil.copy(clip, folder / "song.m4a")
    (folder / "torn").write_bytes(clip.read_bytes()[:300])
    (folder / "page.mp4").write_text("<html>" * 100)
    found = found_in(folder)
    assert {item.title for item in found.items} == {"MOVI0001.DAT", "clip.ts", "page.mp4"} and found.passed == 3
    assert [(o.item.title, o.message) for o in found.others] == [("no ending", "the same as MOVI0001.DAT")]


def test_first_bytes() -> None:
    assert begins_like_a_video(b"\0\0\0\x20ftypisom") and begins_like_a_video(b"\x1aE\xdf\xa3")
    stream = (b"G" + bytes(187)) * 3
    assert begins_like_a_video(stream) and begins_like_a_video(b"".join(b"1234G" + bytes(187) for _ in range(3)))
    assert not any(map(begins_like_a_video, (b"", b"RIFF1234WAVE", b"G" * 100, b"%PDF-1.7", bytes(400))))


def test_files_of_one_stem_get_folders_of_their_own(tmp_path: Path) -> None:
    folder = tmp_path / "in"
    for seed, name in enumerate(["a.mp4", "a.mov", "A.mkv", "b.mp4", "b/c.mp4", "summary.html.mp4"]):
        other(folder / name, seed)
    found = names(found_in(folder))
    assert len({name.casefold() for name in found.values()}) == 6
    assert found["a.mp4"] == "a.mp4" and found["a.mov"] == "a.mov" and found["b.mp4"] == "b.mp4"
    assert found["summary.html.mp4"] != "summary.html"
    # Whatever else comes into the folder, a video keeps its name.
    other(folder / "0.mp4", 9)
    assert names(found_in(folder)).items() > found.items()


def test_two_folders_and_a_file(tmp_path: Path) -> None:
    sources = [other(tmp_path / "1" / "a.mp4", 1).parent, other(tmp_path / "2" / "a.mp4", 2).parent,
               other(tmp_path / "a.mp4", 3)]
    found = found_in(*sources, out=tmp_path / "out")
    assert [item.name for item in found.items] == ["a", "a-2", "a-3"]


def test_duplicates_are_made_once(tmp_path: Path, clip: Path) -> None:
    folder = tmp_path / "in"
    (folder / "z").mkdir(parents=True)
    shutil.copy(clip, folder / "first.mp4")
    shutil.copy(clip, folder / "second.mp4")
    os.link(folder / "first.mp4", folder / "third.mp4")
    shutil.copy(clip, folder / "z" / "fourth.mp4")
    data = bytearray(clip.read_bytes())
    data[len(data) // 2] ^= 1
    (folder / "other.mp4").write_bytes(data)
    found = found_in(folder)
    assert [item.title for item in found.items] == ["first.mp4", "other.mp4"]
    assert [(o.item.title, o.state, o.message) for o in found.others] == [
        (title, "duplicate", "the same as first.mp4")
        for title in ("second.mp4", "third.mp4", str(Path("z", "fourth.mp4")))]


def test_links(tmp_path: Path, clip: Path) -> None:
    folder = tmp_path / "in"
    (folder / "sub").mkdir(parents=True)
    shutil.copy(clip, folder / "sub" / "a.mp4")
    (folder / "sub" / "loop").symlink_to(folder)
    (folder / "itself").symlink_to("itself")
    (folder / "0 early").symlink_to(folder / "sub")
    (folder / "0 link.mp4").symlink_to(folder / "sub" / "a.mp4")
    (folder / "gone.mp4").symlink_to(folder / "nothing.mp4")
    (folder / "elsewhere").symlink_to(other(tmp_path / "far" / "b.mp4").parent)
    found = found_in(folder)
    assert names(found) == {str(Path("sub", "a.mp4")): "sub/a", "gone.mp4": "gone",
                            str(Path("elsewhere", "b.mp4")): "elsewhere/b"}
    assert [o.item.title for o in found.others] == ["0 link.mp4"]


def test_what_can_not_be_opened_is_not_waited_for(tmp_path: Path, clip: Path) -> None:
    folder = tmp_path / "in"
    (folder / "x.mp4").mkdir(parents=True)
    shutil.copy(clip, folder / "x.mp4" / "a.mp4")
    os.mkfifo(folder / "pipe")
    os.mkfifo(folder / "pipe.mp4")
    found = found_in(folder)
    assert set(names(found)) == {str(Path("x.mp4", "a.mp4")), "pipe.mp4"} and found.passed == 1


def test_our_own_results_are_no_sources(tmp_path: Path, clip: Path) -> None:
    folder = tmp_path / "in"
    shutil.copytree(clip.parent, folder)
    for place in ("out/clip", "earlier/clip"):
        (folder / place).mkdir(parents=True)
        other(folder / place / "reel.mp4")
        (folder / place / "plan.json").write_text("{}")
    other(folder / "out" / "half" / "reel.mp4")
    assert names(found_in(folder, out=folder / "out")) == {"clip.mp4": "clip"}


def test_a_folder_without_a_video_is_one_line(tmp_path: Path, clip: Path) -> None:
    (tmp_path / "empty").mkdir()
    found = found_in(tmp_path / "empty", clip, out=tmp_path / "out")
    (problem,) = found.others
    assert problem.item.title == "empty" and "without a video" in problem.message and problem.state == "failed"
    assert names(found) == {"clip.mp4": "clip"}


def test_what_is_named_is_an_item_whatever_it_is(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("x")
    found = found_in(tmp_path / "a.txt", tmp_path / "gone.mp4", out=tmp_path / "out")
    assert names(found) == {"a.txt": "a", "gone.mp4": "gone"}


def test_a_cancel_ends_the_search(tmp_path: Path, clip: Path) -> None:
    token = CancelToken()
    token.cancel()
    with pytest.raises(Cancelled):
        find([clip.parent], tmp_path / "out", SETTINGS, token)
