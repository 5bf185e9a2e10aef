"""What all tests share: where shared media lies, and a skip that can fail."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

# No test may fetch a model, nor be swayed by those that this machine has. The hub's client reads these when it is
# imported, so they are set before anything else; processes that tests start inherit them.
os.environ |= {"HF_HUB_OFFLINE": "1", "HF_HOME": "/nonexistent/smolreel-tests"}
# The tiny model is too small to share out: where another program holds one of two cores, threads that wait for each
# other take a hundred times as long as one alone.
os.environ |= {"OMP_NUM_THREADS": "1"}

ROOT = Path(__file__).resolve().parent.parent
MEDIA = ROOT.parent / "shared" / "media"
NO_SKIPS = "SMOLREEL_NO_SKIPS"


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]):  # type: ignore[no-untyped-def]
    """Where skips aren't allowed, a test that is skipped has failed: what it needs is missing on this machine."""
    outcome = yield
    report = outcome.get_result()
    if report.skipped and os.environ.get(NO_SKIPS) and not hasattr(report, "wasxfail"):
        report.outcome = "failed"
        report.longrepr = f"{NO_SKIPS} is set and this test was skipped: {report.longrepr[-1]}"


@pytest.fixture(scope="session")
def media() -> Path:
    """Folder of real clips and hard files, which never enter the repository."""
    if not MEDIA.is_dir():
        pytest.skip(f"no shared media at {MEDIA}")
    return MEDIA


@pytest.fixture(scope="session")
def talk(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """40 s at 25 frames a second, each with its number, and beeps."""
    # What the pipeline imports must find the environment as it is set above.
    from tests.numbered import even, make_source

    return make_source(tmp_path_factory.mktemp("talk") / "talk.mp4", even(1000, 25), sound=(0, 40))


@pytest.fixture(scope="session")
def sample() -> Path:
    """The sample video."""
    return ROOT / "assets" / "sample.mp4"


@pytest.fixture(scope="session")
def whisper(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of a tiny Whisper that says one thing."""
    from tests import tiny_whisper

    return tiny_whisper.build(tmp_path_factory.mktemp("whisper") / "tiny")


@pytest.fixture(autouse=True)
def own_cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """No test reads or fills the user's cache."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
