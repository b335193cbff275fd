"""``/enter``: where a visitor of the pages shows the key, where keys are set."""

from __future__ import annotations

from typing import Final
from urllib.parse import parse_qs

from fastapi import APIRouter, Request
from starlette.responses import RedirectResponse, Response

from vestiary.web import errors
from vestiary.web.limits import find_name
from vestiary.web.routes.pages import render_page
from vestiary.web.service import Service
from vestiary.web.visitors import ENTRANCE

router = APIRouter()

MOST_FIELDS: Final = 4
WRONG: Final = "This is not a key of this service; look at what you typed, or ask its operator for one."


def render_entrance(service: Service, refusal: str | None = None) -> Response:
    """The page that asks for the key; the same for every address, so that it tells nothing of what is behind it."""
    return render_page("entrance.html.j2", status=401, headers={"www-authenticate": "Bearer"}, refusal=refusal)


@router.post(ENTRANCE, include_in_schema=False)
async def enter(request: Request) -> Response:
    """Let a visitor in who sends a key in the form field ``key``."""
    service: Service = request.app.state.service
    visitors = service.visitors
    if visitors is None:
        raise errors.not_found("There are no pages here.")
    if wait := visitors.tries.take(request.client.host if request.client else ""):
        raise errors.rate_exceeded(wait)
    key = await service.receive(request, _read_key)
    caller = find_name(key, service.settings.api_keys)
    if caller is None:
        return render_entrance(service, WRONG)
    cookie = visitors.make_cookie(caller, is_secure=request.url.scheme == "https")
    return RedirectResponse("/", 303, headers={"set-cookie": cookie, "cache-control": "no-store"})


def _read_key(body: bytes | bytearray) -> str:
    try:
        fields = parse_qs(bytes(body).decode("latin-1"), max_num_fields=MOST_FIELDS)
    except ValueError:
        raise errors.bad_request(f"The form has more than {MOST_FIELDS} fields; send the key as 'key' alone.") from None
    return fields.get("key", [""])[0].strip()
