"""What the server answers beside the page: whether it is well, and headers that browsers guard visitors by."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from starlette.datastructures import MutableHeaders
from starlette.middleware import Middleware
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.jobs import Jobs

HEALTH = "/healthz"
# Gradio's page has scripts and styles within it, and makes some of its code as it goes. What matters is that nothing
# comes from, or goes to, anybody else.
_OURS = "default-src 'self' data: blob: 'unsafe-inline' 'unsafe-eval'; object-src 'none'; base-uri 'self'; "
_EMBEDDERS = "https://huggingface.co https://*.huggingface.co https://*.hf.space"


def around(jobs: Jobs) -> dict[str, Any]:
    """What Gradio's app is made with, beside what Gradio itself gives it."""
    return {"routes": [Route(HEALTH, _health(jobs), methods=["GET", "HEAD"])],
            "middleware": [Middleware(Headers, headers=headers_of(os.environ))],
            "exception_handlers": {ClientDisconnect: _gone}}


def headers_of(environment: Mapping[str, str]) -> dict[str, str]:
    """Headers of every answer.

    A Space is shown in a frame of Hugging Face's page, and Gradio fetches what resizes that frame from elsewhere;
    nobody else's page may frame ours, where a click could be led astray.
    """
    policy = f"frame-ancestors 'self' {_EMBEDDERS}" if environment.get("SPACE_ID") else f"{_OURS}frame-ancestors 'self'"
    return {"content-security-policy": policy, "x-content-type-options": "nosniff",
            # A run's address is the right to see it.
            "referrer-policy": "same-origin", "cross-origin-resource-policy": "same-site",
            "permissions-policy": "geolocation=(), payment=(), usb=()"}


class Headers:
    """Adds headers to every answer that doesn't have them itself."""

    def __init__(self, app: ASGIApp, headers: Mapping[str, str]) -> None:
        self._app, self._headers = app, headers

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def add(message: Message) -> None:
            if message["type"] == "http.response.start":
                found = MutableHeaders(scope=message)
                for name, value in self._headers.items():
                    found.setdefault(name, value)
            await send(message)

        await self._app(scope, receive, add if scope["type"] == "http" else send)


def _health(jobs: Jobs) -> Any:
    async def health(request: Request) -> Response:
        """How many runs wait and are at work; status 503 once the page is closing."""
        waiting, running = jobs.counts()
        closing = jobs.closing.cancelled or not jobs.taking
        return JSONResponse({"ok": not closing, "waiting": waiting, "running": running}, 503 if closing else 200,
                            {"cache-control": "no-store"})

    return health


async def _gone(request: Request, error: Exception) -> Response:
    """The answer to somebody who hung up in the middle of an upload, which nobody will read."""
    return Response(status_code=400)
