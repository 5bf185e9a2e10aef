"""Limits and the page's password, from options and the environment, each checked where it is given."""

from __future__ import annotations

import sys
import types

import pytest

from app.__main__ import BAD_INPUT, DONE, main
from app.limits import Limits, Refused, auth_from_environment, parse_auth
from pipeline import Settings, SettingsError


def test_defaults_and_the_environment() -> None:
    assert Limits.from_environment({}) == Limits() and Limits().queue == 20 and Limits().keep_minutes == 60
    given = {"SMOLREEL_MAX_UPLOAD_MB": "500", "SMOLREEL_MAX_MINUTES": "7.5", "SMOLREEL_QUEUE": "3",
             "SMOLREEL_KEEP_MINUTES": " 15 ", "SMOLREEL_CACHE_GB": "0.5"}
    assert Limits.from_environment(given) == Limits(500, 7.5, 3, 15, cache_gb=0.5)
    assert Limits.from_environment({"SMOLREEL_QUEUE": ""}) == Limits()
    assert Limits(queue=5).with_given(max_minutes=3, keep_minutes=None) == Limits(queue=5, max_minutes=3)


@pytest.mark.parametrize(("variable", "text"), [
    ("SMOLREEL_MAX_UPLOAD_MB", "lots"), ("SMOLREEL_MAX_UPLOAD_MB", "0"), ("SMOLREEL_MAX_MINUTES", "-1"),
    ("SMOLREEL_MAX_MINUTES", "nan"), ("SMOLREEL_QUEUE", "2.5"), ("SMOLREEL_QUEUE", "0"),
    ("SMOLREEL_KEEP_MINUTES", "61"), ("SMOLREEL_KEEP_MINUTES", "inf"),
])
def test_what_makes_no_sense_is_told_in_one_line(variable: str, text: str) -> None:
    with pytest.raises(SettingsError, match=rf"^{variable}: '{text}' is not a (whole )?number from \d+") as caught:
        Limits.from_environment({variable: text})
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(("given", "option"), [({"max_upload_mb": 0.0}, "--max-upload-mb"),
                                               ({"keep_minutes": 90}, "--keep-minutes"),
                                               ({"max_minutes": float("inf")}, "--max-minutes"),
                                               ({"queue": 1.5}, "queue"), ({"queue": True}, "queue")])
def test_options_have_bounds_too(given: dict[str, float], option: str) -> None:
    with pytest.raises(SettingsError, match=f"^{option}: "):
        Limits().with_given(**given)


def test_what_is_too_much_says_what_to_do() -> None:
    limits = Limits(max_upload_mb=1500, max_minutes=30)
    limits.check_size(1_500_000_000, "a.mp4")
    limits.check_length(1800.5, "a.mp4")
    limits.check(Settings(query="a dog"))
    with pytest.raises(Refused, match=r"a.mp4: is 2\.0 GB and this page takes at most 1\.5 GB; cut it"):
        limits.check_size(2_000_000_000, "a.mp4")
    with pytest.raises(Refused, match=r"a\.mp4: is 45 minutes long and this page takes at most 30; cut it into parts"):
        limits.check_length(2700, "a.mp4")
    with pytest.raises(Refused, match="10,000 characters long; say it in at most 4,100"):
        limits.check_query("x" * 10_000)


def test_user_and_password() -> None:
    assert parse_auth("ann:s3:cret") == ("ann", "s3:cret") and parse_auth(None) is None
    assert auth_from_environment({}) is None and auth_from_environment({"SMOLREEL_AUTH": "a:b"}) == ("a", "b")


@pytest.mark.parametrize("text", ["", "ann", "ann:", ":secret", "  :secret"])
def test_a_malformed_password_is_told_but_not_quoted(text: str) -> None:
    with pytest.raises(SettingsError, match=r"^--auth: is not of the form USER:PASSWORD") as caught:
        parse_auth(text)
    assert "secret" not in str(caught.value)


def test_a_malformed_password_in_the_environment() -> None:
    with pytest.raises(SettingsError, match=r"^SMOLREEL_AUTH: "):
        auth_from_environment({"SMOLREEL_AUTH": "ann"})


@pytest.mark.parametrize(("options", "said"), [
    (["--auth", "ann:"], "--auth: is not of the form"), (["--keep-minutes", "90"], "--keep-minutes: '90.0' is not"),
    (["--max-upload-mb", "0"], "--max-upload-mb: '0.0' is not"), (["--max-minutes", "many"], "--max-minutes"),
])
def test_the_page_does_not_start_with_them(options: list[str], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["ui", *options]) == BAD_INPUT
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("smolreel: ") and said in line


def test_nor_with_a_malformed_environment(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("SMOLREEL_QUEUE", "endless")
    assert main(["ui"]) == BAD_INPUT
    assert "SMOLREEL_QUEUE: 'endless' is not a whole number from 1 to 1000" in capsys.readouterr().err


def test_what_was_given_reaches_the_page(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: dict[str, object] = {}
    page = types.ModuleType("app.ui")
    page.launch = lambda host, port, **options: seen.update(options)  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "app.ui", page)
    monkeypatch.setenv("SMOLREEL_AUTH", "bob:secret")
    monkeypatch.setenv("SMOLREEL_MAX_MINUTES", "9")
    assert main(["ui", "--max-upload-mb", "50", "--mcp"]) == DONE
    assert seen == {"browser": True, "limits": Limits(max_upload_mb=50, max_minutes=9), "auth": ("bob", "secret"),
                    "mcp": True}
    assert main(["ui", "--auth", "ann:other"]) == DONE
    assert seen["auth"] == ("ann", "other") and seen["mcp"] is False
