"""`/static/{file}`: the page's own scripts and icons, from this package, to signed-in users only."""

from __future__ import annotations

from importlib import resources
from typing import Annotated

from fastapi import APIRouter, HTTPException, Path
from fastapi.responses import Response

router = APIRouter(prefix="/static", tags=["static"])
FileName = Annotated[str, Path(pattern="^[a-z0-9_.]{1,64}$")]
_TYPES = {"js": "text/javascript; charset=utf-8", "svg": "image/svg+xml"}


@router.get("/{file}", response_class=Response)
def static(file: FileName) -> Response:
    """Give one file. Names are looked up in the folder's list, so no path leads out of it."""
    folder = resources.files("airflow_provider_pacs.monitor") / "static"
    known = {entry.name: entry for entry in folder.iterdir()}
    kind = _TYPES.get(file.rpartition(".")[2])
    if file not in known or kind is None:
        raise HTTPException(404, "There is no such file.")
    headers = {"Cache-Control": "private, no-cache", "X-Content-Type-Options": "nosniff"}
    return Response(known[file].read_bytes(), media_type=kind, headers=headers)
