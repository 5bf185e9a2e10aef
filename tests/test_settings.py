"""Defaults, bounds and what each stage reads."""

from __future__ import annotations

import json
from dataclasses import fields

import pytest

from pipeline.errors import SettingsError
from pipeline.settings import STAGE_FIELDS, Settings, SignalWeights, bounds


@pytest.mark.parametrize(("name", "value"), [
    ("target_s", 0), ("target_s", float("nan")), ("target_s", "30"), ("target_s", True), ("crf", 99),
    ("scorer", "magic"), ("device", "tpu"), ("render", "magic"), ("aspect", "3:7"),
    ("query", 3), ("query", "a\0b"), ("highlight", ["a goal"])])
def test_values_outside_their_range_are_refused(name: str, value: object) -> None:
    with pytest.raises(SettingsError) as caught:
        Settings(**{name: value})
    assert caught.value.subject == name and repr(value) in str(caught.value) and "\n" not in str(caught.value)


def test_settings_that_contradict_each_other() -> None:
    with pytest.raises(SettingsError, match="twice min_segment_s"):
        Settings(min_segment_s=5, max_segment_s=8)
    with pytest.raises(SettingsError, match="above max_clip_s"):
        Settings(min_clip_s=5, max_clip_s=4)
    with pytest.raises(SettingsError, match="all weights are 0"):
        SignalWeights(0, 0, 0, 0, 0, 0)


def test_queries_are_parted_by_semicolons() -> None:
    assert Settings(query=" a red  car;a dog ;; A red car; a\ncat;").queries == ("a red car", "a dog", "a cat")
    for nothing in (None, "", " ", ";", " ; ;"):
        assert Settings(query=nothing).queries == ()


@pytest.mark.parametrize(("given", "complaint"), [
    ({"query": "x" * 10_000}, "query: 10000 letters are more than 500"),
    ({"query": "a dog;" + "x" * 501}, "query: 501 letters are more than 500"),
    ({"query": ";".join("abcdefghi")}, "query: 9 queries are more than 8"),
    ({"highlight": "x" * 501}, "highlight: 501 letters are more than 500")])
def test_a_model_is_not_told_too_much(given: dict[str, str], complaint: str) -> None:
    with pytest.raises(SettingsError) as caught:
        Settings(**given)
    assert str(caught.value).startswith(complaint) and "\n" not in str(caught.value)


def test_json_round_trip() -> None:
    settings = Settings(target_s=12, weights=SignalWeights(motion=1))
    assert Settings.from_json({**settings.to_json(), "of_a_later_version": 1}) == settings
    with pytest.raises(SettingsError):
        Settings.from_json({"weights": 3})


@pytest.mark.parametrize(("values", "says"), [
    ({"pinned": 3}, "3 is no stretch"), ({"pinned": ((1, 2, 3),)}, "no stretch"), ({"banned": ((5, 5),)}, "5 to 5 s"),
    ({"banned": ((-1, 5),)}, "-1 to 5 s"), ({"banned": (("a", "b"),)}, "no stretch"),
    ({"banned": ((0, float("inf")),)}, "to inf s"),
    ({"pinned": ((1, 5),), "banned": ((4, 8),)}, "both pinned and banned")])
def test_stretches_that_make_no_sense(values: dict[str, object], says: str) -> None:
    with pytest.raises(SettingsError, match=says):
        Settings(**values)


def test_stretches_survive_json() -> None:
    settings = Settings(pinned=[[1, 2]], banned=((3, 4.5), (6, 7)))
    assert settings.pinned == ((1.0, 2.0),)
    assert Settings.from_json(json.loads(json.dumps(settings.to_json()))) == settings


def test_every_setting_that_shapes_the_result_belongs_to_one_stage() -> None:
    owned = [name for stage in STAGE_FIELDS.values() for name in stage]
    assert sorted(owned) == sorted({f.name for f in fields(Settings)} - {"cache", "cache_dir", "limits"})


def test_none_means_not_given() -> None:
    assert Settings().with_given(target_s=None, crf=25) == Settings(crf=25)
    assert bounds("target_s")[0] <= Settings().target_s <= bounds("target_s")[1]
