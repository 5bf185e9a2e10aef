"""What the page says that doesn't depend on a run."""

from __future__ import annotations

TITLE = "SmolReel"
QUERY_EXAMPLE = "such as: the goalkeeper saves; people laughing"
QUERY_INFO = "Optional. Several things are parted by a semicolon."
NEW_QUERY_INFO = "The video isn't decoded again; what you left out or took in stays so."

_LOGO = """<svg viewBox="0 0 512 512" aria-hidden="true"><rect width="512" height="512" rx="116" fill="#3b5bdb"/>
<path d="M92 380h48M372 380h48" stroke="#a9bbff" stroke-width="28" stroke-linecap="round"/>
<rect x="170" y="362" width="172" height="36" rx="18" fill="#fff"/>
<path d="M196 138v156c0 14 15 23 27 15l120-78c11-7 11-23 0-30l-120-78c-12-8-27 1-27 15z" fill="#fff"/></svg>"""
HEADER = f"""<header class="sr-brand">{_LOGO}<div><h1>SmolReel</h1>
<p>Drop in a long video, take home its best moments as a short reel.</p></div></header>"""
TIMELINE = """<div class="sr-head"><h2>The whole video</h2><p class="sr-quiet">How interesting it is from moment to
moment, and what is in the reel. Point at it to see a moment, click to play it.</p></div>"""
CLIPS = """<div class="sr-head"><h2>Clips in the reel</h2><p class="sr-quiet">Leave clips out, trim them to a tenth of a
second (hold Shift for a whole one), or move them.</p></div>"""
OTHERS = """<div class="sr-head"><h2>Other good moments</h2><p class="sr-quiet">Best first. Take in what you
miss.</p></div>"""
