"""Which encoder is chosen: arguments without media, trials with the real ffmpeg and files that break the rules."""

from __future__ import annotations

import dataclasses
import os
import stat
import sys
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from pipeline.errors import Cancelled, SettingsError
from pipeline.media.process import ffmpeg_encoders, ffmpeg_exe, input_url, run_ffmpeg
from pipeline.progress import CancelToken
from pipeline.rendering import encoders
from pipeline.rendering.encoders import X264, Choice, Encoder, choose_encoder, fault_of, trial_args, why_not
from pipeline.settings import ENCODERS, Settings
from tests.making import textured, write_video

RATE = Fraction(30000, 1001)
NODE = Encoder("vaapi", "/dev/dri/renderD128")


def words(encoder: Encoder, crf: int = 20, preset: str = "veryfast") -> dict[str, str]:
    """An encoder's output options as text."""
    return {name: str(value) for name, value in encoder.output(crf, preset, RATE).items()}


# ---------------------------------------------------------------- arguments

def test_every_setting_has_an_encoder() -> None:
    for name in ENCODERS[1:]:
        options = words(Encoder(name))
        assert options["c:v"] == Encoder(name).codec and options["g"] == "60" and options["profile:v"] == "high"
        assert Encoder(name).hardware == (name != "x264")


@pytest.mark.parametrize(("encoder", "expected"), [
    (X264, {"c:v": "libx264", "crf": "20", "preset": "veryfast"}),
    (Encoder("nvenc"), {"c:v": "h264_nvenc", "rc": "vbr", "cq": "20", "b:v": "0", "preset": "p5", "tune": "hq"}),
    (Encoder("videotoolbox"), {"c:v": "h264_videotoolbox", "q:v": "65"}),
    (Encoder("qsv"), {"c:v": "h264_qsv", "global_quality": "20", "preset": "veryfast"}),
    (NODE, {"c:v": "h264_vaapi", "rc_mode": "CQP", "qp": "20"}),
])
def test_quality(encoder: Encoder, expected: dict[str, str]) -> None:
    assert expected.items() <= words(encoder).items()


def test_the_ends_of_the_quality_scale() -> None:
    # 0 would be lossless to x264 and "no wish" to nvenc.
    assert (words(X264, 0)["crf"], words(Encoder("nvenc"), 0)["cq"], words(NODE, 0)["qp"]) == ("1", "1", "1")
    best, worst = (int(words(Encoder("videotoolbox"), crf)["q:v"]) for crf in (0, 51))
    assert 95 <= best <= 100 and 1 <= worst <= 20
    assert words(Encoder("qsv"), preset="ultrafast")["preset"] == "veryfast"


def test_vaapi_is_given_its_device_and_pictures_in_its_memory() -> None:
    args = trial_args(NODE, "file:/out.mov")
    assert args.index("-vaapi_device") < args.index("-filter_complex")
    assert args[args.index("-vaapi_device") + 1] == NODE.device
    assert "format=nv12,hwupload[v]" in args[args.index("-filter_complex") + 1]
    assert "hwupload" not in " ".join(trial_args(X264, "file:/out.mov"))


def test_this_ffmpeg_knows_the_options() -> None:
    """An option that an encoder doesn't have would make every trial fail, and nobody would notice."""
    for name in (name for name in ENCODERS[1:] if Encoder(name).codec in ffmpeg_encoders()):
        reason = encoders._try(dataclasses.replace(Encoder(name), device="/dev/dri/renderD128" if name == "vaapi"
                                                   else None), CancelToken())
        said = (reason or "").lower()
        assert not any(word in said for word in ("option", "unrecognized", "parse", "undefined", "invalid")), said


# ---------------------------------------------------------------- trials

def test_x264_passes_the_trial() -> None:
    assert encoders._try(X264, CancelToken()) is None
    assert choose_encoder(Settings(encoder="x264"), CancelToken()) == Choice(X264)


def test_auto_takes_what_works_and_says_what_does_not() -> None:
    choice = choose_encoder(Settings(), CancelToken())
    names = encoders._PLATFORM.get(sys.platform, ())
    before = names if choice.encoder == X264 else names[:names.index(choice.encoder.name)]
    assert set(choice.tried) == set(before)
    assert all(reason and "\n" not in reason for reason in choice.tried.values())
    assert why_not(choice.encoder, CancelToken()) is None
    assert choose_encoder(Settings(), CancelToken()) == choice


@pytest.mark.parametrize("name", ENCODERS[2:])
def test_one_that_is_named_works_or_is_refused_in_one_line(name: str) -> None:
    try:
        choice = choose_encoder(Settings(encoder=name), CancelToken())
    except SettingsError as error:
        assert name in str(error) and "choose auto or x264" in str(error) and "\n" not in str(error)
    else:
        assert choice.encoder.name == name


def test_nothing_is_started_where_there_is_no_device(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(encoders.glob, "glob", lambda pattern: [])
    monkeypatch.setattr(encoders.sys, "platform", "linux")
    monkeypatch.setattr(encoders, "run_ffmpeg", lambda *args, **kwargs: pytest.fail("ffmpeg was started"))
    choice = choose_encoder(Settings(), CancelToken())
    assert choice.encoder == X264 and set(choice.tried) == {"nvenc", "qsv", "vaapi"}
    with pytest.raises(SettingsError, match=r"nvenc doesn't work here \(no NVIDIA card"):
        choose_encoder(Settings(encoder="nvenc"), CancelToken())


def test_a_device_without_a_driver_falls_through_to_x264(monkeypatch: pytest.MonkeyPatch) -> None:
    """The device nodes are there, as in a container without the driver's libraries: ffmpeg itself must find out."""
    # Where this machine has a card, it is hidden from ffmpeg.
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "-1")
    monkeypatch.setattr(encoders, "_PLATFORM", {sys.platform: ("nvenc", "vaapi")})
    monkeypatch.setattr(encoders, "_missing", lambda encoder: None)
    monkeypatch.setattr(encoders, "_found", {})
    monkeypatch.setattr(encoders, "_render_nodes", lambda: ["/dev/dri/renderD250", "/dev/dri/renderD251"])
    choice = choose_encoder(Settings(), CancelToken())
    assert choice.encoder == X264 and set(choice.tried) == {"nvenc", "vaapi"}
    assert all(reason and "\n" not in reason for reason in choice.tried.values())
    assert not any("folder" in reason for reason in choice.tried.values()), "a driver's fault was taken for the disk's"
    monkeypatch.setattr(encoders, "run_ffmpeg", lambda *args, **kwargs: pytest.fail("tried a second time"))
    assert choose_encoder(Settings(), CancelToken()) == choice


def test_the_first_that_works_is_taken(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """With a program in ffmpeg's place that lets libx264 stand in for Quick Sync: the rest of the way is the real one.
    """
    stand_in = tmp_path / "ffmpeg-stand-in"
    stand_in.write_text(
        f"#!{sys.executable}\nimport os, sys\nargs = sys.argv[1:]\n"
        "drop = {'-global_quality'}\n"
        "kept = [a for i, a in enumerate(args) if a not in drop and not (i and args[i - 1] in drop)]\n"
        f"os.execv({ffmpeg_exe()!r}, ['ffmpeg', *('libx264' if a == 'h264_qsv' else a for a in kept)])\n")
    stand_in.chmod(stand_in.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("IMAGEIO_FFMPEG_EXE", str(stand_in))
    monkeypatch.setattr(encoders, "_missing", lambda encoder: None)
    monkeypatch.setattr(encoders, "_PLATFORM", {sys.platform: ("qsv", "vaapi")})
    assert os.environ["IMAGEIO_FFMPEG_EXE"] == ffmpeg_exe()
    assert choose_encoder(Settings(), CancelToken()) == Choice(Encoder("qsv"))


def test_a_cancel_during_a_trial_is_no_verdict(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(encoders, "_missing", lambda encoder: None)
    monkeypatch.setattr(encoders, "_found", {})
    token = CancelToken()
    token.cancel()
    with pytest.raises(Cancelled):
        choose_encoder(Settings(encoder="nvenc"), token)
    assert encoders._found == {}


# ---------------------------------------------------------------- what counts as coming out right

def made(tmp_path: Path, *options: str, frames: str = "36", picture: str = "testsrc2=s=320x180:r=12",
         pixels: str = "yuv420p") -> Path:
    """What an encoder might make of the trial's picture."""
    path = tmp_path / "trial.mov"
    run_ffmpeg(["-y", "-f", "lavfi", "-i", picture, "-frames:v", frames, "-pix_fmt", pixels, "-c:v", "libx264",
                "-preset", "veryfast", "-g", "24", *options, "-f", "mov", input_url(path)], cancel=CancelToken(),
               timeout_s=60)
    return path


def test_a_right_one_has_no_fault(tmp_path: Path) -> None:
    assert fault_of(made(tmp_path, "-preset", "medium", "-bf", "2")) is None


@pytest.mark.parametrize(("options", "kind", "fault"), [
    (["-g", "250"], {}, "keyframes"), ([], {"frames": "30"}, "pictures of 36"),
    (["-vf", r"settb=1/1000,setpts=PTS+30*mod(N\,2)", "-fps_mode", "passthrough", "-enc_time_base", "1/1000"], {},
     "wrong times"),
    ([], {"picture": "color=green:s=320x180:r=12"}, "empty"), ([], {"pixels": "yuv444p"}, "doesn't play everywhere"),
    (["-profile:v", "baseline"], {}, "doesn't play everywhere"),
])
def test_faults_are_found(tmp_path: Path, options: list[str], kind: dict[str, str], fault: str) -> None:
    assert fault in (fault_of(made(tmp_path, *options, **kind)) or "")


def test_rubbish_is_found(tmp_path: Path) -> None:
    path = tmp_path / "a.mov"
    path.write_bytes(b"\0" * 1000)
    assert "can't be decoded" in (fault_of(path) or "")
    write_video(path, [textured(1)] * 5, codec="mpeg4")
    assert fault_of(path)


def test_trial_pictures_are_told_from_empty_ones(tmp_path: Path) -> None:
    with av.open(str(made(tmp_path))) as container:
        contrasts = [float(np.std(frame.to_ndarray(format="gray"))) for frame in container.decode(video=0)]
    assert min(contrasts) > encoders._LEAST_CONTRAST * 1.5
