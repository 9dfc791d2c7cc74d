"""The pages: what a person plays with, and what requests there are."""

from __future__ import annotations

from functools import cache
from importlib import resources

from fastapi import APIRouter
from fastapi.responses import HTMLResponse

# Nothing but this server is asked, whatever an answer may hold.
_POLICY = (
    "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline';"
    " connect-src 'self'; img-src data: blob:; base-uri 'none'; form-action 'none'"
)


@cache
def _page(name: str) -> str:
    return resources.files("backbones.serving").joinpath(name).read_text(encoding="utf-8")


def pages() -> APIRouter:
    """`/` and `/docs`, each one file that needs nothing else."""
    router = APIRouter(include_in_schema=False)
    headers = {"content-security-policy": _POLICY, "x-content-type-options": "nosniff"}

    @router.get("/")
    async def play() -> HTMLResponse:
        return HTMLResponse(_page("page.html"), headers=headers)

    @router.get("/docs")
    async def docs() -> HTMLResponse:
        return HTMLResponse(_page("docs.html"), headers=headers)

    return router
