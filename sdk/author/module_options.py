"""What the host tells a module through its environment, under the names published in the field.

Invariant: nothing is read at import; every attribute reads the environment when it is asked for.
"""

from __future__ import annotations

import os
import secrets
import sys

from sdk.host.client import HostAddress
from sdk.process.launch import Launch
from sdk.process.module_logging import LogVerbosity

DEFAULT_PORT = 32168
HALF_PRECISION_CHOICES = ("force", "enable", "disable")


class Options:
    """The module's options. `ModuleOptions` below is the one instance that modules import."""

    @staticmethod
    def getEnvVariable(name: str, default: str = "") -> str:
        """The value of an environment variable; `default` where it is missing or empty."""
        return os.environ.get(name) or default

    @property
    def launched_by_server(self) -> bool:
        """Whether a host launched this process, rather than a person or a debugger."""
        return self._is_true("CPAI_MODULE_SERVER_LAUNCHED", "false")

    @property
    def python_dir(self) -> str:
        return os.path.dirname(sys.executable)

    @property
    def module_path(self) -> str:
        return os.path.normpath(self.getEnvVariable("CPAI_MODULE_PATH") or os.getcwd())

    @property
    def module_id(self) -> str:
        """The module's id; outside a host, its folder's name, which is the id by convention."""
        return self.getEnvVariable("CPAI_MODULE_ID") or os.path.basename(self.module_path)

    @property
    def module_name(self) -> str:
        return self.getEnvVariable("CPAI_MODULE_NAME") or self.module_id

    @property
    def queue_name(self) -> str:
        return self.getEnvVariable("CPAI_MODULE_QUEUENAME") or f"{self.module_id.lower()}_queue"

    @property
    def instance_id(self) -> str:
        """The id the host gave this process; empty where the process is to make its own."""
        return self.getEnvVariable("CPAI_MODULE_INSTANCE_ID")

    @property
    def port(self) -> int:
        return self._whole_number("CPAI_PORT") or DEFAULT_PORT

    @property
    def host_url(self) -> str:
        """Where the host listens, without a slash at the end."""
        url = self.getEnvVariable("CPAI_HOST_URL") or f"http://localhost:{self.port}"
        return url.rstrip("/")

    @property
    def more_host_urls(self) -> tuple[str, ...]:
        """Further hosts that serve the same store, to go on with when the first is away."""
        urls = self.getEnvVariable("CPAI_HOST_URLS").replace(",", " ").split()
        return tuple(url.rstrip("/") for url in urls)

    @property
    def is_store_shared(self) -> bool:
        """Whether other hosts serve the same commands, so that work outlives this one."""
        return self._is_true("CPAI_STORE_SHARED", "false")

    @property
    def status_file(self) -> str:
        """Where to write the status too; empty: nowhere."""
        return self.getEnvVariable("CPAI_MODULE_STATUS_FILE")

    @property
    def base_api_url(self) -> str:
        return f"{self.host_url}/v1/"

    @property
    def api_token(self) -> str:
        """Sent to the host as a bearer token; empty: none is sent."""
        return self.getEnvVariable("CPAI_API_TOKEN")

    @property
    def server_root_path(self) -> str:
        return self.getEnvVariable("CPAI_APPROOTPATH")

    @property
    def parallelism(self) -> int:
        """How many commands may run at once: as set, else 1, since most models are not made to be
        called from several threads."""
        return self._whole_number("CPAI_MODULE_PARALLELISM") or 1

    @property
    def required_MB(self) -> int:
        return self._whole_number("CPAI_MODULE_REQUIRED_MB")

    @property
    def enable_GPU(self) -> bool:
        return self._is_true("CPAI_MODULE_ENABLE_GPU", "true")

    @property
    def accel_device_name(self) -> str | None:
        return self.getEnvVariable("CPAI_ACCEL_DEVICE_NAME") or None

    @property
    def half_precision(self) -> str:
        """force, enable or disable; disable where nothing or nonsense was said."""
        choice = self.getEnvVariable("CPAI_HALF_PRECISION").lower()
        return choice if choice in HALF_PRECISION_CHOICES else "disable"

    @property
    def safe_mode_reason(self) -> str:
        """Why the module is to leave out what it can do without, in words: a fault ended its usual
        launch, mostly. Empty where it is not."""
        if not self._is_true("CPAI_MODULE_SAFE_MODE", "false"):
            return ""
        return self.getEnvVariable(
            "CPAI_MODULE_SAFE_MODE_REASON", "CPAI_MODULE_SAFE_MODE asks for it"
        )

    @property
    def is_safe_mode_forbidden(self) -> bool:
        """Whether the module's settings want it whole or not at all."""
        return self.getEnvVariable("CPAI_MODULE_SAFE_MODE").lower() == "false"

    @property
    def log_verbosity(self) -> LogVerbosity:
        try:
            return LogVerbosity(self.getEnvVariable("CPAI_LOG_VERBOSITY", "quiet").lower())
        except ValueError:
            return LogVerbosity.Quiet

    def launch(self, module_id: str, queue_name: str) -> Launch:
        """For the SDK: where the host is, and what else the launcher said of this process."""
        address = HostAddress(
            url=self.host_url,
            module_id=module_id,
            queue_name=queue_name,
            instance_id=self.instance_id or secrets.token_hex(8),
            token=self.api_token,
            more_urls=self.more_host_urls,
        )
        return Launch(address, self.status_file, self.is_store_shared)

    def _is_true(self, name: str, default: str) -> bool:
        return self.getEnvVariable(name, default).lower() == "true"

    def _whole_number(self, name: str) -> int:
        value = self.getEnvVariable(name)
        return int(value) if value.isascii() and value.isdigit() else 0


ModuleOptions = Options()
