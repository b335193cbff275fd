"""A client for the service, typed, for threads and for asyncio.

    with Client("http://127.0.0.1:8000", api_key="…") as client:
        answer = client.predict("photo.jpg")
        print(answer.predictions["articleType"], answer.decision)

What the service sheds for the moment (429, 503) and connections that break are tried again: after as long as
``Retry-After`` says, else after a time that doubles; a service that asks for more than 30 seconds is not tried again.
Asking twice does no harm: an answer changes nothing, and a verdict takes the place of the same one.
"""

from __future__ import annotations

import asyncio
import base64
import random
import time
from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Final, TypeVar

from vestiary.errors import ServiceError, UsageError, require

try:
    import httpx
except ModuleNotFoundError:
    require("httpx", extra="serve", feature="The client")

Picture = str | Path | bytes
"""A path, the bytes of a picture file, or its http or https address, where the service is set to fetch pictures."""
Result = TypeVar("Result")

AT_ONCE: Final = 100
"""Questions that an ``AsyncClient`` has under way: httpx opens no more connections."""
_RETRIED: Final = (429, 503)
_FIRST_PAUSE_S: Final = 0.2
_LONGEST_PAUSE_S: Final = 30.0


@dataclass(frozen=True, slots=True)
class TagAnswer:
    """The tag of one attribute: ``accepted`` means that no person needs to look; ``top_k`` begins with the tag."""

    value: str
    confidence: float
    accepted: bool
    top_k: tuple[tuple[str, float], ...]


@dataclass(frozen=True, slots=True)
class Answer:
    """What the service says of one picture; exactly one of ``tags`` and ``problem`` is there.

    ``decision`` is "auto" or "review" (None with a problem); ``raw`` is the whole answer as it came; ``request_id`` and
    ``id`` together name the answer in a verdict on it.
    """

    id: str
    tags: Mapping[str, TagAnswer] = field(default_factory=dict)
    decision: str | None = None
    problem: str | None = None
    raw: Mapping[str, Any] = field(default_factory=dict, repr=False)
    request_id: str = ""

    @property
    def predictions(self) -> dict[str, str]:
        """The value of each attribute."""
        return {name: tag.value for name, tag in self.tags.items()}


@dataclass(frozen=True, slots=True)
class SimilarProduct:
    """A product that is like a picture: ``distance`` is 0 for the same picture, ``labels`` those of its catalogue."""

    product_id: str
    distance: float
    labels: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class _Asked:
    """A request, and how its answer is read."""

    method: str
    path: str
    options: Mapping[str, Any] = field(default_factory=dict)


Flow = Generator[_Asked | float, httpx.Response | httpx.TransportError | None, Result]
"""Yields requests and pauses (seconds), is sent responses, returns the result: shared by both clients."""


def _ask(asked: _Asked, read: Callable[[httpx.Response], Result], retries: int) -> Flow[Result]:
    attempt = 0
    while True:
        outcome = yield asked
        pause = _find_pause(outcome, attempt)
        is_last = attempt >= retries or pause > _LONGEST_PAUSE_S
        if isinstance(outcome, httpx.Response) and (is_last or outcome.status_code not in _RETRIED):
            return _read(_check(outcome), read)
        if is_last:
            raise ServiceError(
                f"The service did not answer ({type(outcome).__name__}, {retries + 1} tries); check its address."
            )
        yield pause
        attempt += 1


def _find_pause(outcome: httpx.Response | httpx.TransportError | None, attempt: int) -> float:
    """Seconds to wait: what ``Retry-After`` says, else twice as long each time, a little different for each caller."""
    given = outcome.headers.get("retry-after", "") if isinstance(outcome, httpx.Response) else ""
    if given.isdigit():
        return float(given)
    return min(_FIRST_PAUSE_S * float(2**attempt) * random.uniform(0.75, 1.25), _LONGEST_PAUSE_S)


def _check(response: httpx.Response) -> httpx.Response:
    """The response of a success; ServiceError for any other."""
    if response.is_success:
        return response
    try:
        problem = response.json()
        detail, request_id = str(problem["detail"]), str(problem["request_id"])
    except (ValueError, KeyError, TypeError):
        detail, request_id = "No reason was given.", response.headers.get("x-request-id", "")
    raise ServiceError(detail, status=response.status_code, request_id=request_id)


def _read(response: httpx.Response, read: Callable[[httpx.Response], Result]) -> Result:
    """What ``read`` makes of a success; ServiceError when this is not the service that answers."""
    try:
        return read(response)
    except (ValueError, LookupError, TypeError, AttributeError) as error:
        raise ServiceError(
            "What answers at this address is not the service; check the address.", status=response.status_code
        ) from error


def _read_answer(entry: Mapping[str, Any], request_id: str) -> Answer:
    tags = {
        name: TagAnswer(
            tag["value"],
            tag["confidence"],
            tag["accepted"],
            tuple((ranked["value"], ranked["confidence"]) for ranked in tag["top_k"]),
        )
        for name, tag in entry.get("attributes", {}).items()
    }
    return Answer(entry["id"], tags, entry.get("decision"), entry.get("error"), entry, request_id)


def _read_one(response: httpx.Response) -> Answer:
    whole = response.json()
    return _read_answer(whole, whole["request_id"])


def _is_address(picture: Picture) -> bool:
    return isinstance(picture, str) and picture.lower().startswith(("http://", "https://"))


def _read_picture(picture: Picture, otherwise: str = "picture") -> tuple[str, bytes]:
    """What a picture is called (``otherwise``, where there are only bytes), and its bytes."""
    if isinstance(picture, bytes):
        return otherwise, picture
    path = Path(picture)
    try:
        return path.name.encode("utf-8", "replace").decode(), path.read_bytes()
    except OSError as error:
        raise UsageError(f"The picture {picture} cannot be read ({error.strerror}); check the path.") from error


def _describe_picture(picture: Picture, number: int) -> dict[str, Any]:
    """One of several pictures in JSON."""
    if _is_address(picture):
        return {"url": picture}
    name, data = _read_picture(picture, str(number))
    return {"image": base64.b64encode(data).decode(), "id": name}


def _send_one(path: str, picture: Picture, told: Mapping[str, Any], **headers: str) -> _Asked:
    """A question about one picture: a form with its bytes, or JSON with its address."""
    if _is_address(picture):
        return _Asked("POST", path, {"json": {"url": picture, **told}, "headers": headers})
    return _Asked("POST", path, {"files": {"file": _read_picture(picture)}, "data": told, "headers": headers})


def _send_several(path: str, pictures: Sequence[Picture], told: Mapping[str, Any]) -> _Asked:
    """A question about several: a form with their bytes, or JSON where an address is among them."""
    if any(_is_address(picture) for picture in pictures):
        images = [_describe_picture(picture, number) for number, picture in enumerate(pictures)]
        return _Asked("POST", path, {"json": {"images": images, **told}})
    files = [("files", _read_picture(picture, str(number))) for number, picture in enumerate(pictures)]
    return _Asked("POST", path, {"files": files, "data": told})


class _Questions:
    """What can be asked, the same for both clients."""

    def __init__(self, api_key: str | None, retries: int) -> None:
        if api_key and not (api_key.isascii() and api_key.isprintable()):
            raise UsageError(
                "The API key holds a line break or another character that no request can carry; give the key alone."
            )
        self._retries = retries
        self._headers = {"Authorization": f"Bearer {api_key}"} if api_key else {}

    def _predict(self, picture: Picture, top_k: int, min_confidence: float) -> Flow[Answer]:
        told = {"top_k": top_k, "min_confidence": min_confidence}
        return (yield from _ask(_send_one("/predict", picture, told), _read_one, self._retries))

    def _predict_batch(self, pictures: Sequence[Picture], top_k: int, min_confidence: float) -> Flow[list[Answer]]:
        if isinstance(pictures, (str, bytes, Path)):
            raise UsageError("A single picture was given where a list of them belongs; put it into a list.")
        if not pictures:
            return []
        asked = _send_several("/predict_batch", pictures, {"top_k": top_k, "min_confidence": min_confidence})

        def read(response: httpx.Response) -> list[Answer]:
            whole = response.json()
            return [_read_answer(entry, whole["request_id"]) for entry in whole["results"]]

        return (yield from _ask(asked, read, self._retries))

    def _explain(self, picture: Picture, attribute: str, value: str | None) -> Flow[bytes]:
        told = {"attribute": attribute} | ({} if value is None else {"value": value})
        asked = _send_one("/explain", picture, told, Accept="image/png")
        return (yield from _ask(asked, lambda response: response.content, self._retries))

    def _similar(
        self, picture: Picture, top_k: int, exclude_same: bool, exclude: str | None
    ) -> Flow[list[SimilarProduct]]:
        told = {"top_k": top_k, "exclude_same": exclude_same} | ({} if exclude is None else {"exclude": exclude})

        def read(response: httpx.Response) -> list[SimilarProduct]:
            return [
                SimilarProduct(entry["product_id"], entry["distance"], entry["labels"])
                for entry in response.json()["neighbours"]
            ]

        return (yield from _ask(_send_one("/similar", picture, told), read, self._retries))

    def _feedback(
        self, answer: Answer | str, attribute: str, value: str, reviewer: str, note: str | None
    ) -> Flow[dict[str, Any]]:
        named = {"id": answer} if isinstance(answer, str) else {"request_id": answer.request_id, "id": answer.id}
        told = {"attribute": attribute, "value": value, "reviewer": reviewer, "note": note}
        asked = _Asked("POST", "/feedback", {"json": named | told})
        return _ask(asked, lambda response: dict(response.json()), self._retries)

    def _get(self, path: str) -> Flow[dict[str, Any]]:
        return _ask(_Asked("GET", path), lambda response: dict(response.json()), self._retries)


class Client(_Questions):
    """A client for threads; it may be shared between them. Close it, or use it as a context manager.

    ``timeout_s`` is for each try, ``retries`` how often a request that was shed or lost is sent again.
    """

    def __init__(self, url: str, *, api_key: str | None = None, timeout_s: float = 30.0, retries: int = 3) -> None:
        super().__init__(api_key, retries)
        self._http = httpx.Client(base_url=url, timeout=timeout_s, headers=self._headers)

    def predict(self, picture: Picture, *, top_k: int = 3, min_confidence: float = 0.0) -> Answer:
        """The answer for one picture. Raises ServiceError when there is none, UsageError for a path without a file."""
        return self._run(self._predict(picture, top_k, min_confidence))

    def predict_batch(
        self, pictures: Sequence[Picture], *, top_k: int = 3, min_confidence: float = 0.0
    ) -> list[Answer]:
        """An answer for each picture, in order; one that could not be read has a ``problem``."""
        return self._run(self._predict_batch(pictures, top_k, min_confidence))

    def explain(self, picture: Picture, attribute: str, value: str | None = None) -> bytes:
        """A PNG of the photo with a heat map of where the value (None: the predicted one) was seen."""
        return self._run(self._explain(picture, attribute, value))

    def similar(
        self, picture: Picture, *, top_k: int = 10, exclude_same: bool = False, exclude: str | None = None
    ) -> list[SimilarProduct]:
        """The products of the service's index most like one picture, nearest first.

        ``exclude_same`` leaves out those that have this very picture, ``exclude`` the product of that id. Raises
        ServiceError when the service has no index.
        """
        return self._run(self._similar(picture, top_k, exclude_same, exclude))

    def feedback(
        self, answer: Answer | str, attribute: str, value: str, *, reviewer: str = "", note: str | None = None
    ) -> dict[str, Any]:
        """Tell the right ``value`` of an earlier answer, which may also be given by its id in the ledger.

        Raises ServiceError when the service does not know the answer, the attribute or the value, or keeps no ledger.
        """
        return self._run(self._feedback(answer, attribute, value, reviewer, note))

    def info(self) -> dict[str, Any]:
        """The bundle that answers, and the limits."""
        return self._run(self._get("/info"))

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def __enter__(self) -> Client:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _run(self, flow: Flow[Result]) -> Result:
        sent: httpx.Response | httpx.TransportError | None = None
        try:
            while True:
                wanted = flow.send(sent)
                sent = None
                if isinstance(wanted, float):
                    time.sleep(wanted)
                    continue
                try:
                    sent = self._http.request(wanted.method, wanted.path, **wanted.options)
                except httpx.TransportError as error:
                    sent = error
        except StopIteration as done:
            result: Result = done.value
            return result


class AsyncClient(_Questions):
    """The same for asyncio; of any number of questions asked at once, AT_ONCE are under way and the others wait."""

    def __init__(self, url: str, *, api_key: str | None = None, timeout_s: float = 30.0, retries: int = 3) -> None:
        super().__init__(api_key, retries)
        self._http = httpx.AsyncClient(base_url=url, timeout=timeout_s, headers=self._headers)
        self._turns = asyncio.Semaphore(AT_ONCE)  # else who waits for a connection would be told of a silent service

    async def predict(self, picture: Picture, *, top_k: int = 3, min_confidence: float = 0.0) -> Answer:
        """As ``Client.predict``."""
        return await self._run(self._predict(picture, top_k, min_confidence))

    async def predict_batch(
        self, pictures: Sequence[Picture], *, top_k: int = 3, min_confidence: float = 0.0
    ) -> list[Answer]:
        """As ``Client.predict_batch``."""
        return await self._run(self._predict_batch(pictures, top_k, min_confidence))

    async def explain(self, picture: Picture, attribute: str, value: str | None = None) -> bytes:
        """As ``Client.explain``."""
        return await self._run(self._explain(picture, attribute, value))

    async def similar(
        self, picture: Picture, *, top_k: int = 10, exclude_same: bool = False, exclude: str | None = None
    ) -> list[SimilarProduct]:
        """As ``Client.similar``."""
        return await self._run(self._similar(picture, top_k, exclude_same, exclude))

    async def feedback(
        self, answer: Answer | str, attribute: str, value: str, *, reviewer: str = "", note: str | None = None
    ) -> dict[str, Any]:
        """As ``Client.feedback``."""
        return await self._run(self._feedback(answer, attribute, value, reviewer, note))

    async def info(self) -> dict[str, Any]:
        """As ``Client.info``."""
        return await self._run(self._get("/info"))

    async def close(self) -> None:
        """Close the connections."""
        await self._http.aclose()

    async def __aenter__(self) -> AsyncClient:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def _run(self, flow: Flow[Result]) -> Result:
        async with self._turns:
            return await self._take_turn(flow)

    async def _take_turn(self, flow: Flow[Result]) -> Result:
        sent: httpx.Response | httpx.TransportError | None = None
        try:
            while True:
                wanted = flow.send(sent)
                sent = None
                if isinstance(wanted, float):
                    await asyncio.sleep(wanted)
                    continue
                try:
                    sent = await self._http.request(wanted.method, wanted.path, **wanted.options)
                except httpx.TransportError as error:
                    sent = error
        except StopIteration as done:
            result: Result = done.value
            return result
