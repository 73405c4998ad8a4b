"""A file as input: the host refuses a start without one, since the route declares it required."""

import hashlib
from typing import Any

from sdk import LongProcess, ModuleRunner, RequestData, RequestError, RunningCommand
from sdk.testing import Request, run_command

CHUNK_BYTES = 1 << 20


class Digest(ModuleRunner):
    """Its reply is the digest, and its status shows how far it is."""

    def process(self, data: RequestData) -> LongProcess:
        if data.get_file_bytes(0) is None:
            raise RequestError("file", "a file", "none")
        return LongProcess(self.digest)

    def digest(self, data: RequestData, command: RunningCommand) -> dict[str, Any]:
        content = data.get_file_bytes(0) or b""
        digest = hashlib.new(data.get_value("algorithm", "sha256"))
        for start in range(0, len(content), CHUNK_BYTES):
            if command.is_cancelled:
                break
            digest.update(content[start : start + CHUNK_BYTES])
            command.set(bytesRead=min(start + CHUNK_BYTES, len(content)))
        command.append(digest.hexdigest())
        return {"size": len(content)}

    def selftest(self) -> dict[str, Any]:
        ended = run_command(self, Request(files={"a.txt": b"abc"}))
        return {"success": ended.text.startswith("ba7816bf")}


if __name__ == "__main__":
    Digest().start_loop()
