"""A model's file from its address: over https alone, bounded, and known by its SHA-256.

Nothing opens the file before its hash is that which the submission states.
"""

import hashlib
import http.client
import ipaddress
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import IO, Protocol

from pellucid.models.errors import InputError, printable
from pellucid.models.files import writing
from pellucid.models.untrusted.format.archive import MAX_FILE_BYTES

WAIT = 30.0
"""Seconds that a server may be silent."""
SECONDS = 1800.0
"""Seconds that a download may take: 640 MiB at 3 Mbit/s."""
_BLOCK_BYTES = 1 << 16
_SHOWN = 200


class Response(Protocol):
    """What an address answers."""

    def read1(self, size: int, /) -> bytes:
        """The next bytes, as they come; none at the end."""

    def close(self) -> None:
        """Ends the connection."""


Open = Callable[[str, float], Response]
"""Opens an address, with the seconds that its server may be silent."""


def _public(address: str) -> bool:
    """Whether an IP address is one of the public internet."""
    return ipaddress.ip_address(address).is_global


class _Connection(http.client.HTTPSConnection):
    """A connection to a public server, not to one of this network."""

    def connect(self) -> None:
        """Connects. Raises `OSError` before anything is asked of a server that is not public."""
        super().connect()
        if not _public(self.sock.getpeername()[0]):
            self.close()
            raise OSError(f"{self.host} is a machine of a private network")


class _Https(urllib.request.HTTPSHandler):
    def https_open(self, request: urllib.request.Request) -> http.client.HTTPResponse:
        """Asks over a `_Connection`."""
        return self.do_open(_Connection, request)


class _Redirects(urllib.request.HTTPRedirectHandler):
    max_redirections = 5

    def redirect_request(
        self,
        request: urllib.request.Request,
        response: IO[bytes],
        code: int,
        message: str,
        headers: http.client.HTTPMessage,
        address: str,
    ) -> urllib.request.Request | None:
        """Follows to https alone. Raises `URLError` for another scheme."""
        if not address.lower().startswith("https://"):
            raise urllib.error.URLError("it redirects to an address that is not https")
        return super().redirect_request(request, response, code, message, headers, address)


def open_https(address: str, wait: float) -> Response:
    """Opens an https address on a public server; no proxies, files or other schemes.

    Raises:
        OSError: It cannot be had.
    """
    opener = urllib.request.OpenerDirector()
    for handler in (
        _Https(),
        _Redirects(),
        urllib.request.HTTPErrorProcessor(),
        urllib.request.HTTPDefaultErrorHandler(),
        urllib.request.UnknownHandler(),
    ):
        opener.add_handler(handler)
    request = urllib.request.Request(address, headers={"User-Agent": "pellucid"})
    response = opener.open(request, timeout=wait)
    if not isinstance(response, http.client.HTTPResponse):
        raise OSError("it is not an address of a file")
    return response


def fetch(
    address: str,
    sha256: str,
    to: Path,
    *,
    open_address: Open = open_https,
    most: int = MAX_FILE_BYTES,
    seconds: float = SECONDS,
) -> None:
    """Downloads a file whose hash is known.

    Args:
        address: The https address.
        sha256: The hash of the file, hexadecimal.
        to: Where it goes; what is there is replaced.
        open_address: What opens the address.
        most: Bytes at most.
        seconds: How long it may take.

    Raises:
        InputError: It cannot be had; it is larger, takes longer or has another hash; then nothing
            is left.
    """
    where, until = printable(address, _SHOWN), time.monotonic() + seconds
    digest, size, finished = hashlib.sha256(), 0, False
    with writing(to):
        to.parent.mkdir(parents=True, exist_ok=True)
        file = to.open("wb")
    try:
        response = open_address(address, WAIT)
        try:
            while part := response.read1(_BLOCK_BYTES):
                size += len(part)
                if size > most:
                    raise InputError(f"{where} has more than {most:,} bytes.")
                if time.monotonic() > until:
                    raise InputError(f"{where} took longer than {seconds:g} seconds.")
                digest.update(part)
                with writing(to):
                    file.write(part)
        finally:
            response.close()
        finished = digest.hexdigest() == sha256
    except (OSError, http.client.HTTPException, ValueError) as error:
        if isinstance(error, InputError):
            raise
        reason = printable(str(getattr(error, "reason", "") or error), _SHOWN)
        raise InputError(f"{where} cannot be downloaded: {reason}.") from error
    finally:
        file.close()
        if not finished:
            to.unlink(missing_ok=True)
    if not finished:
        raise InputError(
            f"{where} is another file than the submission states: its SHA-256 is"
            f" {digest.hexdigest()}, not {sha256}."
        )
