"""What all pages that SmolReel writes have in common."""

from __future__ import annotations

from html import escape
from pathlib import Path

from pipeline.export.words import one_line

STYLE = Path(__file__).with_name("page.css")


def document(title: str, style: str, body: str) -> str:
    """A page that needs nothing from anywhere else; all three are HTML or CSS already."""
    return f"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="generator" content="SmolReel">
<title>{title}</title>
<link rel="icon" href="data:,">
<style>
{style}</style>
</head>
<body>
{body}</body>
</html>
"""


def escaped(text: str) -> str:
    """A text as it may stand in the page or between quotes in a tag."""
    return escape(one_line(text))
