"""Holds the rules that keep the rooms apart; each test fails when its rule is broken."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
CORE = sorted((ROOT / "pipeline").rglob("*.py"))

# A stage and the modules that are parts of it alone.
STAGES = {
    "scan": ("pipeline.scan", "pipeline.scenes", "pipeline.signals", "pipeline.focus",
             "pipeline.listening", "pipeline.loudness", "pipeline.hearing", "pipeline.division", "pipeline.parts"),
    "segments": ("pipeline.segments",),
    "scorers": ("pipeline.scorers",),
    "speech": ("pipeline.speech",),
    "selection": ("pipeline.selection", "pipeline.knapsack", "pipeline.pool", "pipeline.edges",
                  "pipeline.peaks", "pipeline.repeats"),
    "rendering": ("pipeline.rendering",),
    "export": ("pipeline.export",),
}


def imports_of(path: Path) -> set[str]:
    """Dotted names of everything that a module imports, at any depth of its code."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
    return names


def within(name: str, *packages: str) -> bool:
    """Whether a dotted name lies in one of the packages."""
    return any(name == package or name.startswith(package + ".") for package in packages)


def stage_of(path: Path) -> str | None:
    """The stage that a module belongs to."""
    module = ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
    return next((stage for stage, modules in STAGES.items() if within(module, *modules)), None)


@pytest.mark.parametrize("path", CORE, ids=lambda p: str(p.relative_to(ROOT)))
def test_the_core_imports_no_shell(path: Path) -> None:
    assert not {name for name in imports_of(path) if within(name, "app", "gradio", "rich", "typer")}


@pytest.mark.parametrize("path", [p for p in CORE if stage_of(p)], ids=lambda p: str(p.relative_to(ROOT)))
def test_stages_do_not_import_one_another(path: Path) -> None:
    others = [module for stage, modules in STAGES.items() if stage != stage_of(path) for module in modules]
    assert not {name for name in imports_of(path) if within(name, *others, "pipeline.runner", "pipeline.cache")}


def test_every_stage_is_known() -> None:
    assert {stage_of(path) for path in CORE} >= set(STAGES)


def test_processes_are_started_in_one_module() -> None:
    starters = {
        str(path.relative_to(ROOT)) for path in [*CORE, *(ROOT / "app").rglob("*.py"), ROOT / "app.py",
                                                 *(ROOT / "assets").rglob("*.py"), *(ROOT / "bench").rglob("*.py")]
        if any(within(name, "subprocess", "multiprocessing", "os.system", "os.popen", "asyncio.subprocess")
               for name in imports_of(path)) or "os.system(" in path.read_text() or "os.popen(" in path.read_text()
    }
    assert starters == {"pipeline/media/process.py"}


def test_the_core_prints_nothing() -> None:
    for path in CORE:
        calls = [node for node in ast.walk(ast.parse(path.read_text()))
                 if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "print"]
        assert not calls, path


# Decoders are for the processes beside, and what pictures need isn't for the one that listens.
_PICTURES = ("cv2", "scenedetect", "moviepy")
_HEAVY = ("torch", "transformers", "faster_whisper", "ctranslate2", "onnxruntime", "gradio", "pandas", "rich", "typer",
          "fsspec", *_PICTURES)


@pytest.mark.parametrize(("module", "heavy"), [("pipeline.runner", (*_HEAVY, "av")), ("pipeline.listening", _HEAVY),
                                               ("pipeline.sandboxed", _HEAVY)])
def test_importing_it_is_light(module: str, heavy: tuple[str, ...]) -> None:
    code = f"import sys, {module}; print([m for m in {heavy!r} if m in sys.modules])"
    found = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"
