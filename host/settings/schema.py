"""The shapes of settings, after merging. The aliases are the exact keys of the files.

Modules published in the field set the terms: unknown keys are passed over, null means "the
default", and a number may stand where text is meant. The section `Server` is the host's own, so
there an unknown key is a typing error and is refused.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    AliasChoices,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    model_validator,
)
from pydantic.alias_generators import to_pascal
from pydantic_core import PydanticCustomError


def _not_bool(value: Any) -> Any:
    if isinstance(value, bool):  # true would pass for 1
        raise PydanticCustomError("int_type", "expected a number")
    return value


def _without_nulls(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: item for key, item in value.items() if item is not None}
    return value


def _network(value: str) -> str:
    try:
        ipaddress.ip_network(value)
    except ValueError:
        raise PydanticCustomError(
            "network", "expected an IP address, or a range such as 10.0.0.0/8"
        ) from None
    return value


_ORIGIN = re.compile(r"([a-z][a-z0-9+.-]*)://(\[[0-9a-f:.]+\]|[a-z0-9._-]+)(:[0-9]{1,5})?")
_USUAL_PORTS = {("http", ":80"), ("https", ":443")}


def _origin(value: str) -> str:
    """As browsers spell it: lower case, no slash at the end, no port where it is the usual one."""
    found = _ORIGIN.fullmatch(value.lower())
    if found is None:
        raise PydanticCustomError(
            "origin", "expected an origin, such as http://localhost:5173 (no path, no *, not null)"
        )
    scheme, host, port = found[1], found[2], found[3] or ""
    return f"{scheme}://{host}" + ("" if (scheme, port) in _USUAL_PORTS else port)


def store_name(value: str) -> str:
    """What names a store. Raises PydanticCustomError, a ValueError."""
    if value in ("local", "memory") or value.startswith(("redis://", "rediss://", "unix://")):
        return value
    raise PydanticCustomError(
        "store", 'expected "local", "memory", or an address such as redis://localhost:6379/0'
    )


def _pattern(value: str) -> str:
    try:
        re.compile(value)
    except re.error as error:
        raise PydanticCustomError(
            "pattern", "expected a regular expression ({why})", {"why": str(error)}
        ) from None
    return value


def _environment_text(value: Any) -> Any:
    if isinstance(value, bool):
        return "True" if value else "False"  # the spelling of the field
    return str(value) if isinstance(value, (int, float)) else value


Whole = Annotated[int, BeforeValidator(_not_bool)]
Seconds = Annotated[float, BeforeValidator(_not_bool), Field(ge=0, allow_inf_nan=False)]
Text = Annotated[str, Field(min_length=1)]
Network = Annotated[str, AfterValidator(_network)]  # an address, or a range such as 10.0.0.0/8
Origin = Annotated[str, AfterValidator(_origin)]
Pattern = Annotated[str, AfterValidator(_pattern)]
StoreName = Annotated[str, AfterValidator(store_name)]
Environment = Annotated[
    dict[str, Annotated[str, BeforeValidator(_environment_text)]], BeforeValidator(_without_nulls)
]


PER_GPU: Literal["per-gpu"] = "per-gpu"


def _instances(value: Any) -> Any:
    is_number = isinstance(value, int) and not isinstance(value, bool) and value >= 1
    is_list = isinstance(value, list) and value and all(isinstance(one, dict) for one in value)
    if is_number or is_list or value == PER_GPU:
        return value
    raise PydanticCustomError("instances", "expected a number of instances")


Instances = Annotated[
    int | Literal["per-gpu"] | list[Environment],
    Field(union_mode="left_to_right"),
    BeforeValidator(_instances),
]


class _Section(BaseModel):
    """One object of a settings file."""

    model_config = ConfigDict(
        alias_generator=to_pascal, frozen=True, extra="ignore", coerce_numbers_to_str=True
    )

    @model_validator(mode="before")
    @classmethod
    def _null_is_default(cls, data: Any) -> Any:
        return _without_nulls(data)


class ServerSettings(_Section):
    """`Server` in the deployment's own settings."""

    model_config = ConfigDict(extra="forbid")

    root_path: Path = Field(alias="root_path")  # set by the loader
    host: Text = "127.0.0.1"
    port: Annotated[Whole, Field(ge=0, le=65535)] = 32168  # 0: any that is free
    max_body_mb: Annotated[float, BeforeValidator(_not_bool), Field(gt=0)] = Field(
        default=16, alias="MaxBodyMB"
    )
    max_held_mb: Annotated[float, BeforeValidator(_not_bool), Field(gt=0)] = Field(
        default=256, alias="MaxHeldMB"
    )  # of all bodies that are read, or whose commands have not ended
    max_connections: Annotated[Whole, Field(ge=16)] = 4_000  # fewer where the system allows fewer
    allowed_hosts: list[Text] = []
    allowed_origins: list[Origin] = []  # whose pages may ask, and read the answers
    trusted_proxies: list[Network] = []  # whose X-Forwarded-For is believed
    module_token: Text | None = Field(default=None, repr=False)  # what modules elsewhere show
    insecure: bool = False  # open to others without keys
    module_folders: list[Text] = []
    store: StoreName = Field(default="local", repr=False)  # a Redis URL may hold a password
    data_dir: Path | None = None  # None: where the system keeps its user's data
    keep_hours: Annotated[float, BeforeValidator(_not_bool), Field(gt=0)] = 24
    store_max_mb: Annotated[float, BeforeValidator(_not_bool), Field(gt=0)] = Field(
        default=1024, alias="StoreMaxMB"
    )
    durability: Literal["process", "power"] = "process"
    on_terminate: Literal["drain", "stop"] = "drain"  # at SIGTERM; a second one always stops
    drain_s: Seconds = Field(default=75, alias="DrainSecs")  # systemd kills after 90

    @property
    def url(self) -> str:
        """Where a process on this machine reaches the host."""
        host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(self.host, self.host)  # noqa: S104
        return f"http://[{host}]:{self.port}" if ":" in host else f"http://{host}:{self.port}"

    @property
    def is_store_shared(self) -> bool:
        """Whether other hosts may serve the same commands."""
        return self.store not in ("local", "memory")


class LaunchSettings(_Section):
    """How a module's process is launched. The defaults are those of the field."""

    auto_start: bool = True
    file_path: Text
    runtime: str = "python"
    queue: Text | None = None
    parallelism: Annotated[Whole, Field(ge=0)] = 0  # 0: the module chooses
    post_start_pause_s: Seconds = Field(default=0, alias="PostStartPauseSecs")
    required_mb: Annotated[Whole, Field(ge=0)] = 0
    log_verbosity: str = "Quiet"
    instances: Instances = 1
    max_silent_s: Seconds = Field(default=300, alias="MaxSilentSecs")  # while it claims to work
    max_start_s: Seconds = Field(default=0, alias="MaxStartSecs")  # until its first word; 0: any
    max_test_s: Seconds = Field(default=300, alias="MaxTestSecs")  # for its self-test; 0: any
    trust_process: bool = False  # it needs no token: it is known by its process
    safe_mode: bool = True  # once, after a fault before it was ready
    max_queue_length: Annotated[Whole, Field(ge=1)] = 1000  # beyond: 429, with the expected wait
    max_wait_s: Seconds = Field(default=0, alias="MaxWaitSecs")  # in the queue; 0: no limit
    max_run_s: Seconds = Field(default=0, alias="MaxRunSecs")  # 0: no limit


class GpuOptions(_Section):
    """What a module may do with a GPU."""

    install_gpu: bool = Field(default=True, alias="InstallGPU")
    enable_gpu: bool = Field(default=True, alias="EnableGPU")
    accelerator_device_name: str | None = None
    half_precision: str = "enable"


class InstallOptions(_Section):
    """How what a module needs gets onto a machine, and who looks after it."""

    setup: Text | None = None  # a program in its folder that makes its environment: --venv FOLDER
    doctor: Text | None = None  # a program in its folder that looks for `llamachat doctor`


class RouteParameter(_Section):
    """An input or output of a route, as the documentation pages show it."""

    name: str = ""
    type: str = ""
    description: str = ""
    default: Any = Field(
        default=None, validation_alias=AliasChoices("Default", "DefaultValue"), alias="Default"
    )
    required: bool = False  # this and what follows are additions of this host's
    required_unless: str = ""  # the input that may come in its place
    minimum: float | None = None
    maximum: float | None = None
    enum: list[str] = []
    pattern: Pattern | None = None  # a regular expression for the whole text
    json_kind: Literal["object", "array", "any"] | None = Field(default=None, alias="Json")


class RouteMap(_Section):
    """A path under /v1/ that leads to a command on the module's queue."""

    name: str = ""
    route: Text
    method: Text = "POST"
    command: Text
    description: str = ""
    inputs: list[RouteParameter] = []
    outputs: list[RouteParameter] = []
    long_process: bool = False

    @property
    def path(self) -> str:
        """The route as requests are matched with it: lower case, no slash at either end."""
        return self.route.strip("/").lower()


class ModuleSettings(_Section):
    """One module: everything its own files and the deployment say about it."""

    id: str = Field(alias="id")  # set by the loader, as are `path` and `venv`
    path: Path = Field(alias="path")
    venv: Path | None = Field(default=None, alias="venv")  # what `InstallOptions.Setup` makes
    name: str = ""
    version: str = ""
    publishing_info: Mapping[str, Any] = {}
    launch: LaunchSettings = Field(alias="LaunchSettings")
    environment: Environment = Field(default={}, alias="EnvironmentVariables")
    gpu: GpuOptions = Field(default=GpuOptions(), alias="GpuOptions")
    install_options: InstallOptions = InstallOptions()
    routes: list[RouteMap] = Field(default=[], alias="RouteMaps")

    @property
    def title(self) -> str:
        return self.name or self.id

    @property
    def queue(self) -> str:
        return self.launch.queue or f"{self.id.lower()}_queue"
