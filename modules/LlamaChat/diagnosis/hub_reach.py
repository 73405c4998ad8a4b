"""The model hub: can it be reached? Only who wants to download a model needs it."""

from __future__ import annotations

import queue
import ssl
import threading
import urllib.error
import urllib.request
from collections.abc import Mapping

from diagnosis.finding import Finding, bad, good

HUB = "https://huggingface.co"
LIMIT_S = 8.0

_REMEDY = "check the network and its proxy (HTTPS_PROXY), or bring the file by hand"
_CERTIFICATE = (
    "name your network's own certificates in SSL_CERT_FILE, in the environment of `llamachat`"
)


def check_hub(is_needed: bool, environment: Mapping[str, str], limit_s: float = LIMIT_S) -> Finding:
    """`is_needed`: the model is still to be fetched from there."""
    url = environment.get("HF_ENDPOINT") or HUB
    if environment.get("HF_HUB_OFFLINE", "").lower() in ("1", "true", "yes", "on"):
        problem: Exception | None = OSError("HF_HUB_OFFLINE is set")
    else:
        problem = _problem(url, limit_s)
    if problem is None:
        return good("hub", f"{url} is reachable")
    text = f"{url} is not reachable ({_words(problem)})"
    if isinstance(problem, ssl.SSLCertVerificationError):
        return bad("hub", text, _CERTIFICATE)
    if is_needed:
        return bad("hub", f"{text}, and the model is to be fetched from there", _REMEDY)
    return good("hub", f"{text}: fine unless you want to download a model")


def _problem(url: str, limit_s: float) -> Exception | None:
    """Why there is no answer; None where there is one. Name servers keep no time limit, so it is
    asked beside, and not waited for any longer."""
    answers: queue.Queue[Exception | None] = queue.Queue()
    asker = threading.Thread(target=lambda: answers.put(_ask(url, limit_s)), daemon=True)
    asker.start()
    try:
        return answers.get(timeout=limit_s)
    except queue.Empty:
        return TimeoutError(f"no answer within {limit_s:g} s")


def _ask(url: str, limit_s: float) -> Exception | None:
    try:
        request = urllib.request.Request(url, method="HEAD")  # noqa: S310
        urllib.request.urlopen(request, timeout=limit_s).close()  # noqa: S310 - as set
    except urllib.error.HTTPError:
        return None  # it refuses this question, but it is there
    except urllib.error.URLError as error:
        return error.reason if isinstance(error.reason, Exception) else error
    except (OSError, ValueError) as error:
        return error
    return None


def _words(problem: Exception) -> str:
    return str(problem) or type(problem).__name__
