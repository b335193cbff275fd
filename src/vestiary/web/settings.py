"""Everything that can be set about the service, by ``VESTIARY_*`` variables and a TOML file; see docs/settings.md."""

from __future__ import annotations

import os
import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Final, Literal

from pydantic import Field, ValidationError, field_validator
from pydantic_settings import BaseSettings, NoDecode, PydanticBaseSettingsSource, SettingsConfigDict

from vestiary.errors import UsageError
from vestiary.web.schemas import MAX_LIST

PREFIX: Final = "VESTIARY_"
FILE_VARIABLE: Final = "VESTIARY_SETTINGS"
"""The variable that names the settings file."""

_HASH: Final = re.compile(r"[0-9a-f]{64}")
_KEY_NAME: Final = re.compile(r"[A-Za-z0-9_.-]{1,64}")


class Settings(BaseSettings):
    """The settings of one service. What is given directly wins over the variables, and these over the file."""

    model_config = SettingsConfigDict(env_prefix=PREFIX, extra="forbid", frozen=True, env_ignore_empty=True)

    host: str = Field("127.0.0.1", description="address to listen on; `0.0.0.0` for every interface")
    port: int = Field(8000, ge=0, le=65535, description="port to listen on; 0 takes a free one and prints it")
    workers: int = Field(
        1,
        ge=1,
        le=256,
        description="processes that share the port; each has the model in memory. One that dies is replaced, and "
        "`/stats` and `/metrics` tell the figures of all",
    )
    bundle: Path | str | None = Field(
        None,
        description="bundle folder, zip or [address](guides/deploy.md#the-bundle) (`s3://…`)",
        json_schema_extra={"unset": "the default bundle"},
    )
    precision: Literal["fp32", "int8"] = Field(
        "fp32", description="the model to load: `fp32`, or `int8` where the bundle has such a model"
    )
    decide_on: Annotated[tuple[str, ...], NoDecode] = Field(
        (),
        description="attributes, with commas between them, whose answers must be accepted for a photo's decision to be "
        "`auto`",
        json_schema_extra={"unset": "all of them"},
    )
    threads: int = Field(
        0,
        ge=0,
        le=1024,
        description="threads of each worker that decode and answer; 0: its share of the cores, and where that is more "
        "than one, another that works while one of them waits for the interpreter",
    )
    max_batch: int = Field(16, ge=1, le=1024, description="most pictures that go through the model at once")
    max_in_flight: int = Field(
        128,
        ge=1,
        description="requests that a worker holds at a time; more: 503 with `Retry-After`, and where there are "
        "twice as many connections as this, before a `POST` is read",
    )
    max_connections: int = Field(
        1000,
        ge=1,
        description="connections that a worker keeps open (the limit of open files is raised for them where the "
        "system allows it); more: 503",
    )
    deadline_s: float = Field(
        10.0,
        gt=0,
        description="seconds for an answer once the body is there; then 504, and the pictures leave the queue",
    )
    retry_after_s: int = Field(1, ge=1, description="seconds that `Retry-After` asks for with a 503")
    max_body_bytes: int = Field(
        20_000_000, ge=1024, description="bytes of one request, cut while they stream; more: 413"
    )
    max_held_bytes: int = Field(
        500_000_000, ge=1024, description="bytes of all bodies that a worker holds at a time; more: 503"
    )
    max_pixels: int = Field(
        50_000_000, ge=64, description="pixels of a picture by its header, before it is decoded; more: 413"
    )
    max_images: int = Field(
        64,
        ge=1,
        le=MAX_LIST,
        description="pictures of one `/predict_batch` or `/v2` request, 10,000 at most; more: 413",
    )
    fetch_urls: bool = Field(
        False, description="fetch the picture when a JSON body has its address as `url` instead of an `image`"
    )
    fetch_timeout_s: float = Field(
        5.0, gt=0, description="seconds for a picture to be fetched, where that is on; then 422"
    )
    header_timeout_s: float = Field(10.0, gt=0, description="seconds for the head of a request; then 408")
    body_timeout_s: float = Field(
        30.0, gt=0, description="seconds for the body of a request; then 408. Also for a client to read its answer"
    )
    keep_alive_s: int = Field(5, ge=1, description="seconds that a connection may idle between two requests")
    shutdown_s: int = Field(30, ge=1, description="seconds for accepted requests to be answered after SIGTERM")
    api_keys: Annotated[dict[str, str], NoDecode] = Field(
        default_factory=dict,
        description="names and SHA-256 of the keys that may call, `name=hash,name=hash`; none: everybody may",
    )
    rate_per_minute: int = Field(
        0,
        ge=0,
        description="POST requests a minute for each key, or each address where no keys are set; more: 429 with "
        "`Retry-After`; 0: no limit",
    )
    rate_burst: int = Field(20, ge=1, description="POST requests that a caller may send at once within that rate")
    cors_origins: Annotated[tuple[str, ...], NoDecode] = Field(
        (), description="origins whose pages may call from a browser: `https://shop.example,https://…`; `*` for all"
    )
    trusted_proxies: Annotated[tuple[str, ...], NoDecode] = Field(
        (), description="addresses whose `X-Forwarded-For` and `X-Forwarded-Proto` are believed"
    )
    uploader_min_confidence: float = Field(
        0.8, ge=0, le=1, description="confidence under which the result page of `/uploader` says NA"
    )
    ledger_url: str = Field(
        "",
        description="where predictions, failures and verdicts are kept: the path of a SQLite file, "
        "`postgresql://user:password@host/database`, or `none`; see [the ledger](guides/ledger.md)",
        json_schema_extra={"unset": "the user's own"},
    )
    pages: bool = Field(
        True,
        description="serve [the pages](guides/pages.md) at `/` for browsers, where the extra `ui` is installed; "
        "`--no-pages` switches them off. With several workers there are none, and the log says so",
    )
    max_upload_files: int = Field(
        200, ge=1, le=5000, description="photos that a visitor may hand over to a page at once"
    )
    catalogue: Path | None = Field(
        None, description="an ingested catalogue: what the page Catalogue shows, and what Model takes its figures from"
    )
    bundles: Path | None = Field(None, description="a folder of other bundles, which the page Model compares with")
    index: Path | None = Field(
        None,
        description="a search index that `vestiary index` made: the most similar products beside an answer, and "
        "`POST /similar`",
    )
    keep_pictures: Path | None = Field(
        None,
        description="folder where the service and the pages keep photos that go to review; without it nothing "
        "that was sent is kept, but the photos of batches from the page",
    )
    jobs: Path | None = Field(
        None,
        description="folder of the batches that are started from the page, with the photos that were sent for them, "
        "readable for the service alone, until they are removed there",
        json_schema_extra={"unset": "the user's own"},
    )
    jobs_keep_days: int = Field(
        0,
        ge=0,
        le=36_500,
        description="days that the photos and files of such a batch stay after it ended or was broken off; then the "
        "service deletes them, and only the answers stay, in the ledger. 0: until they are removed there",
    )
    log_requests: bool = Field(
        True,
        description="one JSON line a request on stderr: id, route, status, milliseconds, bytes, name of the key; "
        "nothing that was sent. A connection that is refused before there is a request has a line "
        "with id and status",
    )

    @field_validator("api_keys", mode="before")
    @classmethod
    def _read_keys(cls, given: Any) -> Any:
        if isinstance(given, str):
            pairs = [part.strip().partition("=") for part in given.split(",") if part.strip()]
            given = {name: digest for name, _, digest in pairs}
            if len(given) < len(pairs):
                raise ValueError("two keys have one name; give each a name of its own")
        if isinstance(given, Mapping):
            for name, digest in given.items():
                if not _KEY_NAME.fullmatch(str(name)) or not _HASH.fullmatch(str(digest)):
                    raise ValueError(
                        "each key needs a name (letters, digits, . _ -) and the SHA-256 that "
                        "vestiary serve --new-key NAME prints"
                    )
        return given

    @field_validator("cors_origins", "decide_on", "trusted_proxies", mode="before")
    @classmethod
    def _read_list(cls, given: Any) -> Any:
        return tuple(part.strip() for part in given.split(",") if part.strip()) if isinstance(given, str) else given

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """What is given directly first, then the variables; the file is read by ``load_settings``."""
        return init_settings, env_settings


def load_settings(path: Path | None = None, **given: Any) -> Settings:
    """Settings from a TOML file (default: the one that ``VESTIARY_SETTINGS`` names), variables, and ``given`` values.

    A value of None counts as not given. Raises UsageError that names every wrong setting.
    """
    named = os.environ.get(FILE_VARIABLE)
    if path is None and named:
        path = Path(named)
    in_file = _read_file(path) if path is not None else {}
    chosen = {name: value for name, value in given.items() if value is not None}
    below = {
        name: value for name, value in in_file.items() if name not in chosen and not os.environ.get(_variable(name))
    }
    try:
        return Settings(**below, **chosen)
    except ValidationError as error:
        wrong = "; ".join(_describe(problem, below, path) for problem in error.errors())
        raise UsageError(f"The settings of the service cannot be used: {wrong}; see docs/settings.md.") from None


def _variable(name: str) -> str:
    return f"{PREFIX}{name.upper()}"


def _describe(problem: Any, in_file: Mapping[str, Any], path: Path | None) -> str:
    name = str(problem["loc"][0]) if problem["loc"] else "?"
    where = f"{name} in {path}" if name in in_file else f"{name} ({_variable(name)})"
    what = "is no setting" if problem["type"] == "extra_forbidden" else problem["msg"].removeprefix("Value error, ")
    return f"{where}: {what[0].lower()}{what[1:]}"


def _read_file(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8-sig"))
    except OSError as error:
        raise UsageError(f"The settings {path} cannot be read ({error.strerror}); check the path.") from error
    except (UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise UsageError(f"The settings {path} are not valid TOML ({error}); mend them there.") from error
