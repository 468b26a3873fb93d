"""An OCI registry that is no origin of ours, spoken to as if it were an origin's repository `images`.

Publishing asks for paths of `/v2/images/`; here they go to a repository of any name. A blob is pushed in two requests,
which every registry takes, and so is the config that a manifest of ours carries. Credentials come from the environment
or a file of `docker login`, are looked for when the registry asks for some, and are shown to nobody but the registry
and, where it names one, the server of its tokens, by https. Nothing is redirected. Blocks; several threads may use it.
"""

import base64
import json
import os
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Final
from urllib.parse import parse_qs, urlencode, urljoin, urlsplit

import urllib3

from edge.config.sources import Place, parse_place
from edge.sources.challenges import ANSWER_MAX, Challenge, parse_challenge, parse_token
from edge.sources.credentials import Credentials, host_of, read_credentials
from origin.model.exchange import Request, Response
from vmimage.errors import OperatorError, OriginError, OriginUnreachable
from vmimage.manifest import REPOSITORY, digest_of
from vmimage.oci import ACCEPT
from vmimage.trust import TARGETS_MAX
from vmimage.urls import is_guarded

PREFIX: Final = f"/v2/{REPOSITORY}/"
USER, PASSWORD = "NUNATAK_REGISTRY_USER", "NUNATAK_REGISTRY_PASSWORD"
CONNECT_TIMEOUT_S: Final = 5.0
SILENCE_TIMEOUT_S: Final = 60.0
CONNECTIONS: Final = 8
BLOB_TYPE: Final = "application/octet-stream"
_AUTH: Final = "Authorization"


def parse_registry(text: str) -> Place:
    """Where a registry is.

    :param text: oci+https://HOST[:PORT]/REPOSITORY; http on this machine alone.
    :raises OperatorError: none, or one that everybody on the way can listen to.
    """
    try:
        place = parse_place(text)
    except ValueError as error:
        raise OperatorError(f"--registry: {error}") from None
    if place.kind != "oci" or not is_guarded(place.base):
        raise OperatorError(
            f"--registry: oci+https://HOST/REPOSITORY, or http on this machine, expected, got {text!r:.200}"
        )
    return place


def credentials_for(host: str, file: Path | None) -> str:
    """The Authorization field for a host; "" where nothing is known.

    :param file: that `docker login` wrote; None: of the environment, else the file where it usually is.
    :raises OperatorError: the file cannot be used.
    """
    if file is None and os.environ.get(USER) and os.environ.get(PASSWORD):
        basic: str = urllib3.make_headers(basic_auth=f"{os.environ[USER]}:{os.environ[PASSWORD]}")["authorization"]
        return basic
    if file is None:
        folder = os.environ.get("DOCKER_CONFIG", "~/.docker")
        usual = Path(os.environ.get("REGISTRY_AUTH_FILE", f"{folder}/config.json"))
        file = usual if usual.expanduser().exists() else None
    found: Credentials = read_credentials(str(file)) if file is not None else {}
    return found.get(host, "")


class Elsewhere:
    """One repository of a registry."""

    def __init__(
        self, place: Place, credentials: Callable[[str], str], *, silence_s: float = SILENCE_TIMEOUT_S
    ) -> None:
        """:param credentials: the Authorization field for a host. :param silence_s: that an answer may take."""
        self.place, self._credentials = place, credentials
        timeout = urllib3.Timeout(connect=CONNECT_TIMEOUT_S, read=silence_s)
        self._pool = urllib3.PoolManager(timeout=timeout, retries=False, maxsize=CONNECTIONS, block=True)
        self._asking = threading.Lock()
        self._field = ""  # that opened the door last

    def send(self, request: Request) -> Response:
        """Carry a request for `images` out at this repository.

        :raises OriginUnreachable, OriginError: no answer, or one that leads astray.
        :raises OperatorError: the credentials cannot be used.
        """
        path, _, query = request.path.removeprefix(PREFIX).partition("?")
        url = f"{self.place.base}/v2/{self.place.repository}/{path}"
        if request.method == "POST":
            return self._push(url, parse_qs(query)["digest"][0], request.body)
        if request.method == "PUT":
            config = base64.b64decode(json.loads(request.body)["config"]["data"])
            done = self._push(f"{self.place.base}/v2/{self.place.repository}/blobs/uploads/", digest_of(config), config)
            if done.status != 201:
                return done
        return self._answer(request.method, url, request.body, request.content_type)[0]

    def _push(self, url: str, digest: str, data: bytes) -> Response:
        begun, location = self._answer("POST", url, b"", BLOB_TYPE)
        if begun.status != 202:
            return begun
        target = urljoin(url, location)
        if _place_of(target) != _place_of(url):
            raise OriginError(f"{url}: an upload at the same host expected, got {target:.200}")
        whole = f"{target}{'&' if urlsplit(target).query else '?'}{urlencode({'digest': digest})}"
        return self._answer("PUT", whole, data, BLOB_TYPE)[0]

    def _answer(self, method: str, url: str, body: bytes, content_type: str) -> tuple[Response, str]:
        """The answer and its Location, asked for once more where the registry wants credentials."""
        shown = self._field
        status, data, fields = self._ask(method, url, body, content_type, shown)
        challenge = parse_challenge(fields.get("WWW-Authenticate", "")) if status == 401 else None
        if challenge is not None and (field := self._opened(challenge, shown)):
            status, data, fields = self._ask(method, url, body, content_type, field)
        return Response(status, data), fields.get("Location", "")

    def _opened(self, challenge: Challenge, shown: str) -> str:
        """What the registry wants to be shown; "" where there is nothing."""
        with self._asking:
            if self._field != shown:
                return self._field  # another thread has asked meanwhile; if that is not for this, the next one asks
            self._field = self._password() if challenge.scheme == "basic" else self._token(challenge)
            return self._field

    def _password(self) -> str:
        return self._credentials(host_of(self.place.base))

    def _token(self, challenge: Challenge) -> str:
        if self.place.base.startswith("https:") and not challenge.realm.startswith("https:"):
            raise OriginError(f"{self.place.base}: tokens by https expected, it names {challenge.realm:.200}")
        said = {"service": challenge.service, "scope": challenge.scope}
        query = urlencode({name: text for name, text in said.items() if text})
        url = f"{challenge.realm}{'&' if urlsplit(challenge.realm).query else '?'}{query}"
        password = self._credentials(host_of(challenge.realm)) if is_guarded(challenge.realm) else ""
        status, data, _ = self._ask("GET", url, b"", "application/json", password, most=ANSWER_MAX)
        if status != 200:
            hint = "" if password else f": there are no credentials for {host_of(challenge.realm)}"
            raise OriginError(f"{challenge.realm:.200}: status 200 expected for a token, got {status}{hint}")
        return f"Bearer {parse_token(data).text}"

    def _ask(
        self, method: str, url: str, body: bytes, content_type: str, shown: str, *, most: int = TARGETS_MAX
    ) -> tuple[int, bytes, urllib3.HTTPHeaderDict]:
        headers = {"Accept": ACCEPT, "Content-Type": content_type} | ({_AUTH: shown} if shown else {})
        try:
            with self._pool.request(
                method, url, body=body or None, headers=headers, redirect=False, preload_content=False
            ) as answer:
                data = answer.read(most + 1)
                if len(data) > most:
                    answer.close()
                    raise OriginError(f"{url}: an answer of at most {most} bytes expected")
                return answer.status, data, answer.headers
        except (urllib3.exceptions.HTTPError, OSError) as error:
            raise OriginUnreachable(f"a registry expected at {self.place.base}: {error}") from None


def _place_of(url: str) -> tuple[str, str]:
    parts = urlsplit(url)
    return parts.scheme, parts.netloc
