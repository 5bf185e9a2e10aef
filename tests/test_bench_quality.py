"""The protocols of bench/quality, rule by rule on cases that can be worked out by hand, and each from end to end."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from bench.quality import qvhighlights, running, summaries
from bench.quality.__main__ import main
from bench.quality.summaries import Annotated
from pipeline import InputError, Settings
from tests.making import story

GOOD = 4


def line(**changes: object) -> dict[str, object]:
    """An annotated query of a video of ten seconds, five clips."""
    return {"qid": 7, "query": "a dog runs", "vid": "story", "duration": 10, "relevant_clip_ids": [1, 2],
            "saliency_scores": [[4, 4, 2], [3, 4, 0]], **changes}


def written(path: Path, *lines: dict[str, object]) -> Path:
    path.write_text("".join(json.dumps(entry) + "\n" for entry in lines))
    return path


def people(*rows: list[int]) -> np.ndarray:
    """(clips, people) from a row a person."""
    return np.array(rows, dtype=float).T


def ap(positive: str, predicted: list[float]) -> float:
    return qvhighlights.average_precision(np.array([mark == "+" for mark in positive]), np.array(predicted))


def test_saliency_is_zero_outside_the_relevant_clips_and_half_a_clip_at_the_end_is_none() -> None:
    # 11.9 s hold five whole clips of 2 s.
    saliency = qvhighlights.saliency_of(line(duration=11.9))
    assert saliency.tolist() == [[0, 0, 0], [4, 4, 2], [3, 4, 0], [0, 0, 0], [0, 0, 0]]


def test_ap_is_nothing_without_a_positive_and_one_where_all_are() -> None:
    assert ap("---", [3, 2, 1]) == 0
    assert ap("+++", [1, 1, 1]) == 1


def test_ap_of_a_ranking_without_ties() -> None:
    # Ranked + - + -: precision 1 at recall 1/2, 2/3 at recall 1.
    assert ap("+-+-", [4, 3, 2, 1]) == pytest.approx((1 + 2 / 3) / 2)
    # The order in the video doesn't matter, only the ranks.
    assert ap("--++", [3, 1, 4, 2]) == pytest.approx((1 + 2 / 3) / 2)


def test_ap_takes_the_best_precision_at_a_recall_or_beyond() -> None:
    # Ranked - + +: precision 1/2 at recall 1/2, 2/3 at recall 1; interpolated, both are 2/3 (else the mean were 7/12).
    assert ap("-++", [3, 2, 1]) == pytest.approx(2 / 3)


def test_ap_takes_clips_that_tie_in_together() -> None:
    # One threshold: recall 1 at once with precision 2/5.
    assert ap("+--+-", [1, 1, 1, 1, 1]) == pytest.approx(2 / 5)


def test_ap_counts_each_recall_that_is_reached_once_however_many_positives_it_adds() -> None:
    # First threshold: one of one is right, recall 1/3; second: three of five, recall 1. Mean of 1 and 3/5, where
    # weighing by positives would give (1 + 2 * 3/5) / 3.
    assert ap("+++--", [2, 1, 1, 1, 1]) == pytest.approx((1 + 3 / 5) / 2)


def test_ap_is_that_of_the_definition_on_random_rankings_with_ties() -> None:
    rng = np.random.default_rng(3)
    for _ in range(200):
        positive, predicted = rng.random(12) < 0.4, rng.integers(0, 6, 12).astype(float)
        points = []
        for threshold in sorted(set(predicted)):
            shown = predicted >= threshold
            if positive.any():
                points.append((positive[shown].sum() / positive.sum(), positive[shown].mean()))
        recalls = sorted({recall for recall, _ in points if recall > 0})
        expected = np.mean([max(p for r, p in points if r >= recall) for recall in recalls]) if recalls else 0
        assert qvhighlights.average_precision(positive, predicted) == pytest.approx(expected)


def test_a_querys_ap_is_the_mean_over_people() -> None:
    # Best clip first: 1 for the first person; ranked second for the other, 1/2; none is good to the third, 0.
    saliency = people([4, 0, 0], [0, 4, 0], [3, 3, 3])
    assert qvhighlights.query_ap(saliency, np.array([3.0, 2.0, 1.0]), GOOD) == pytest.approx((1 + 1 / 2 + 0) / 3)


@pytest.mark.parametrize(("least", "expected"), [(2, 1), (3, 2 / 3), (4, 1 / 3)])
def test_a_clip_is_good_from_the_threshold_on(least: int, expected: float) -> None:
    # The best clip has 2, 3 and 4; all others have 0.
    saliency = people([2, 0], [3, 0], [4, 0])
    assert qvhighlights.query_ap(saliency, np.array([1.0, 0.0]), least) == pytest.approx(expected)


def test_short_predictions_are_filled_with_zeros_and_long_ones_are_cut() -> None:
    saliency = people([0, 0, 4], [0, 0, 4], [0, 0, 4])
    # 0 for the third ranks it above the -1s: rank 1.
    assert qvhighlights.query_ap(saliency, np.array([-1.0, -1.0]), GOOD) == 1
    # The 9 lies behind the end; of what is left the third is best.
    assert qvhighlights.query_ap(saliency, np.array([1.0, 1.0, 2.0, 9.0]), GOOD) == 1


def test_a_hit_is_one_where_anybody_finds_the_best_clip_good() -> None:
    saliency = people([0, 4, 0], [0, 0, 0], [0, 3, 0])
    assert qvhighlights.query_hit(saliency, np.array([0.0, 1.0, 0.0]), GOOD)
    assert not qvhighlights.query_hit(saliency, np.array([1.0, 0.0, 0.0]), GOOD)


def test_of_clips_that_tie_the_first_is_the_best() -> None:
    nobody = [0, 0, 0]
    assert qvhighlights.query_hit(people([4, 0, 0], nobody, nobody), np.ones(3), GOOD)
    assert not qvhighlights.query_hit(people([0, 4, 4], nobody, nobody), np.ones(3), GOOD)


def test_a_best_clip_behind_the_end_is_a_miss() -> None:
    everybody = [4, 4]
    assert not qvhighlights.query_hit(people(everybody, everybody, everybody), np.array([1.0, 1.0, 2.0]), GOOD)


def test_figures_are_means_over_the_queries_that_have_a_prediction_in_percent(tmp_path: Path) -> None:
    queries = qvhighlights.read_annotations(written(
        tmp_path / "val.jsonl", line(qid=1), line(qid=2, saliency_scores=[[1, 1, 1], [1, 1, 1]]), line(qid=3)))
    ranked = np.array([0.0, 2.0, 1.0, 0.0, 0.0])
    figures = qvhighlights.evaluate(queries, {1: ranked, 2: ranked})
    # VeryGood, query 1: 1 (clip 1), 1 (clips 1 and 2), 0 (none) for the three; query 2: nothing. Hits: one of two.
    assert figures["VeryGood"] == qvhighlights.Figures(pytest.approx(100 * 2 / 3 / 2), 50)
    # Fair, query 1: the third person's only clip is clip 1, first in rank.
    assert figures["Fair"] == qvhighlights.Figures(pytest.approx(50), 50)


def test_the_priors() -> None:
    # With the same for all, AP is the share of positives: 1/5, 2/5 and 0; the first clip is good to nobody.
    saliency = qvhighlights.saliency_of(line())
    assert qvhighlights.query_ap(saliency, qvhighlights.constant(5), GOOD) == pytest.approx((1 / 5 + 2 / 5) / 3)
    assert not qvhighlights.query_hit(saliency, qvhighlights.constant(5), GOOD)
    assert np.argsort(-qvhighlights.centre(5), kind="stable").tolist() == [2, 1, 3, 0, 4]
    # Both middle clips of an even number are as near.
    assert qvhighlights.centre(4).tolist() == [0.25, 0.75, 0.75, 0.25]


def test_clips_are_means_of_two_seconds() -> None:
    assert qvhighlights.clip_scores(np.array([0.0, 1.0, 0.5, 0.5, 9.0]), 2).tolist() == [0.5, 0.5]
    assert qvhighlights.clip_scores(np.array([0.0, 1.0, 0.25]), 3).tolist() == [0.5, 0.25, 0.25]


def test_windows_are_runs_above_the_middle_best_first() -> None:
    found = qvhighlights.windows(np.array([0.6, 0.8, 0.1, 0.0, 1.0]), 9.5)
    assert found == [[8.0, 9.5, 1.0], [0.0, 4.0, 0.7]]
    assert qvhighlights.windows(np.ones(3), 6.0) == [[0.0, 6.0, 1.0]]


@pytest.mark.parametrize(("entry", "told"), [
    ({"qid": 1, "query": "q", "vid": "v", "duration": 10}, "test split"),
    (line(saliency_scores=[[1, 1, 1]]), "2 relevant clips and 1 scores"),
    (line(relevant_clip_ids=[1, 9]), "line 1"),
    (line(duration=1), "below that of a clip"),
])
def test_annotations_that_do_not_fit_are_told(tmp_path: Path, entry: dict[str, object], told: str) -> None:
    with pytest.raises(InputError, match=told):
        qvhighlights.read_annotations(written(tmp_path / "val.jsonl", entry))


def test_qvhighlights_prints_its_table_without_a_video(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = written(tmp_path / "val.jsonl", line())
    assert main(["qvhighlights", "--annotations", str(path), "--scorer", "constant"]) == 0
    # Fair: clips 1 and 2 for two people, clip 1 for the third: (2/5 + 2/5 + 1/5) / 3.
    assert [row.split() for row in capsys.readouterr().out.splitlines()[1:]] == [
        ["good", "from", "mAP", "HIT@1"], ["Fair", "33.33", "0.00"], ["Good", "26.67", "0.00"],
        ["VeryGood", "20.00", "0.00"]]


def test_what_is_given_wrongly_is_told_in_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = written(tmp_path / "val.jsonl", line())
    assert main(["qvhighlights", "--annotations", str(tmp_path / "no.jsonl"), "--scorer", "centre"]) == 2
    assert main(["qvhighlights", "--annotations", str(path), "--scorer", "signals"]) == 2
    assert main(["qvhighlights", "--annotations", str(path), "--scorer", "signals", "--videos", str(path)]) == 2
    (tmp_path / "other.mp4").touch()
    assert main(["qvhighlights", "--annotations", str(path), "--scorer", "signals", "--videos", str(tmp_path)]) == 2
    told = capsys.readouterr().err.splitlines()
    assert [part in row for part, row in zip(("no.jsonl", "--videos", "no folder", "story.mp4"), told, strict=True)
            ] == [True] * 4


# Summaries


def test_a_curve_becomes_a_value_a_frame() -> None:
    # Four frames a second for 2.5 s; the curve's third value stands for the last half second.
    assert summaries.per_frame(np.array([1.0, 2.0, 3.0]), 2.5, 10).tolist() == [1] * 4 + [2] * 4 + [3] * 2


def test_shots_last_two_seconds_and_tile_the_frames() -> None:
    assert summaries.shots_of(50, 5.0) == [(0, 20), (20, 40), (40, 50)]
    assert summaries.shots_of(40, 4.0) == [(0, 20), (20, 40)]
    assert summaries.shots_of(3, 0.1) == [(0, 3)]


def test_packing_is_exact() -> None:
    # By value per length 6/4 comes first, but 5 + 5 in 3 + 3 is worth more than 6 in 4 with 2 left.
    assert summaries.pack([6, 5, 5], [4, 3, 3], 6) == [1, 2]
    assert summaries.pack([1, 9], [2, 7], 6) == [0]
    rng = np.random.default_rng(1)
    for _ in range(30):
        values, lengths = rng.random(8).tolist(), rng.integers(1, 9, 8).tolist()
        subsets = [[i for i in range(8) if mask >> i & 1] for mask in range(256)]
        best = max(sum(values[i] for i in s) for s in subsets if sum(lengths[i] for i in s) <= 15)
        assert sum(values[i] for i in summaries.pack(values, lengths, 15)) == pytest.approx(best)


def test_a_summary_holds_fifteen_percent_of_the_best() -> None:
    # 40 s at 10 frames a second: 400 frames, 60 of them fit, three shots of 20.
    scores = np.repeat([0.0] * 5 + [3, 2] + [0] * 10 + [5, 1, 1], 20)
    chosen = summaries.summary(scores, summaries.shots_of(400, 40.0))
    assert np.flatnonzero(chosen).tolist() == [*range(100, 140), *range(340, 360)]


def test_f1_of_frames() -> None:
    one, other = np.array([1, 1, 1, 0, 0], bool), np.array([0, 0, 1, 0, 0], bool)
    # Precision 1/3, recall 1.
    assert summaries.f1(one, other) == pytest.approx(1 / 2)
    assert summaries.f1(one, ~one) == 0
    assert summaries.f1(np.zeros(5, bool), np.zeros(5, bool)) == 0


def test_correlations() -> None:
    # Of six pairs five agree and one doesn't: tau 4/6. Rank differences 0, 1, 1, 0: rho 1 - 6 * 2 / (4 * 15).
    tau, rho = summaries.correlations(np.array([1.0, 2, 3, 4]), np.array([1.0, 3, 2, 4]))
    assert (tau, rho) == (pytest.approx(4 / 6), pytest.approx(0.8))
    assert summaries.correlations(np.ones(4), np.arange(4.0)) == (0.0, 0.0)


def test_agreement_is_with_each_and_with_their_mean() -> None:
    # A judges like the prediction, B the other way round: the mean with each is 0, their mean ranks nothing.
    rising = np.repeat(np.arange(20.0), 20)
    video = Annotated("v", np.stack([rising, 19 - rising]), chose=False)
    judges = summaries.judges_of(video, 40.0)
    found = summaries.agreement(rising, judges[0].chosen, judges, best=False)
    assert (found.tau, found.rho, found.tau_mean) == (pytest.approx(0), pytest.approx(0), 0)
    # The same summary as A's, none of B's: the mean is a half, the best is all.
    assert found.f1 == 50
    assert summaries.agreement(rising, judges[0].chosen, judges, best=True).f1 == 100


def test_nobody_is_compared_with_themselves() -> None:
    rising = np.repeat(np.arange(20.0), 20)
    # Each of two is compared with the other alone, who says the contrary.
    found = summaries.people_agree(Annotated("v", np.stack([rising, 19 - rising]), chose=False), 40.0)
    assert (found.tau, found.f1) == (pytest.approx(-1), 0)
    # Who chose frames is taken at their word, however much it is.
    chosen = np.repeat([[0.0, 1.0], [0.0, 1.0]], 200, axis=1)
    assert summaries.people_agree(Annotated("v", chosen, chose=True), 40.0).f1 == 100


def test_chance_knows_nothing_and_is_the_same_on_every_run() -> None:
    scores = np.repeat(np.random.default_rng(5).integers(1, 6, (5, 300)).astype(float), 50, axis=1)
    video = Annotated("v", scores, chose=False)
    assert abs(summaries.chance(video, 600.0).tau) < 0.03
    assert summaries.chance(video, 600.0) == summaries.chance(video, 600.0)


def test_tvsum_is_read(tmp_path: Path) -> None:
    path = tmp_path / "anno.tsv"
    path.write_text("a\tVT\t1,2,3\nb\tVU\t5,5\na\tVT\t3,2,1\nb\tVU\t4,1\n")
    first, second = summaries.read_tvsum(path)
    assert (first.name, first.scores.tolist(), first.chose) == ("a", [[1, 2, 3], [3, 2, 1]], False)
    assert (second.name, second.scores.tolist()) == ("b", [[5, 5], [4, 1]])


@pytest.mark.parametrize(("text", "told"), [
    ("a\tVT\t1,x\n", "line 1"), ("a,VT,1\n", "line 1"), ("", "no annotation"), ("a\tVT\t1,2\n", "two people"),
    ("a\tVT\t1,2\na\tVT\t1,2,3\n", "different numbers"),
])
def test_tvsum_that_is_not_one_is_told(tmp_path: Path, text: str, told: str) -> None:
    path = tmp_path / "anno.tsv"
    path.write_text(text)
    with pytest.raises(InputError, match=told):
        summaries.read_tvsum(path)


def test_summe_is_read(tmp_path: Path) -> None:
    from scipy.io import savemat

    # Frames down, people across; what is above 0 was chosen, the number itself says nothing.
    savemat(tmp_path / "Air_Force_One.mat", {"user_score": np.array([[0, 2], [3, 0], [1, 0]]), "nFrames": 3})
    (video,) = summaries.read_summe(tmp_path)
    assert (video.name, video.scores.tolist(), video.chose) == ("Air_Force_One", [[0, 1, 1], [1, 0, 0]], True)
    (tmp_path / "broken.mat").write_bytes(b"not a matrix" * 20)
    with pytest.raises(InputError, match=r"broken\.mat"):
        summaries.read_summe(tmp_path)
    with pytest.raises(InputError, match="GT"):
        summaries.read_summe(tmp_path / "nowhere")


# From end to end


@pytest.fixture(scope="module")
def videos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a video of 32 s in which something happens from 12 s to 16 s alone."""
    folder = tmp_path_factory.mktemp("videos")
    story(folder / "story.mp4", loud=range(12, 16))
    return folder


def test_qvhighlights_from_end_to_end(videos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = line(duration=32, relevant_clip_ids=[6, 7], saliency_scores=[[4, 4, 4], [4, 4, 4]])
    annotations = written(tmp_path / "val.jsonl", found, {**found, "qid": 8, "vid": "elsewhere"})
    submission = tmp_path / "ours.jsonl"
    assert main(["qvhighlights", "--annotations", str(annotations), "--videos", str(videos), "--scorer", "signals",
                 "--predictions", str(submission)]) == 0
    out = capsys.readouterr().out
    assert "1 of 2 videos (elsewhere)" in out
    assert "1 of 2 queries" in out
    assert out.splitlines()[-1].split() == ["VeryGood", "100.00", "100.00"]
    (entry,) = [json.loads(row) for row in submission.read_text().splitlines()]
    assert set(entry) == {"qid", "query", "vid", "pred_relevant_windows", "pred_saliency_scores"}
    assert len(entry["pred_saliency_scores"]) == 16
    assert entry["pred_relevant_windows"][0][0] <= 12 < 16 <= entry["pred_relevant_windows"][0][1]
    assert list(tmp_path.glob("*.part")) == []


def test_tvsum_from_end_to_end(videos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    # 800 frames; two people like what happens, one of them what comes after it too.
    one, two = np.ones(800, int), np.ones(800, int)
    one[300:400], two[300:450] = 5, 4
    annotations = tmp_path / "anno.tsv"
    annotations.write_text("".join(f"story\tVT\t{','.join(map(str, row))}\n" for row in (one, two)))
    assert main(["tvsum", "--annotations", str(annotations), "--videos", str(videos), "--scorer", "signals"]) == 0
    rows = {row.split()[0]: [float(part) for part in row.split()[1:]]
            for row in capsys.readouterr().out.splitlines()[3:]}
    assert list(rows) == ["ours", "people", "chance"]
    assert rows["ours"][0] > 0.3 > rows["chance"][0]
    assert rows["ours"][-1] == 100


def test_a_query_is_asked_of_the_scorer_that_reads_it_alone(videos: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    runs = []
    analyse = running.analyse
    monkeypatch.setattr(running, "analyse", lambda *given: runs.append(given[1].query) or analyse(*given))
    runner = running.Runner(Settings(scorer="signals"))
    assert runner.analysis(videos / "story.mp4", "a dog") is runner.analysis(videos / "story.mp4", "a cat")
    assert runs == [None]
