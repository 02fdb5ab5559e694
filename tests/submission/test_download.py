"""Downloading a model: bounded, by its hash, and over https to public servers alone."""

import hashlib
import http.client
import shutil
import ssl
import subprocess
import threading
import time
import urllib.error
import urllib.request
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from pellucid.benchmark.submission import download
from pellucid.models.errors import InputError

CONTENT = bytes(range(256)) * 1000
HASH = hashlib.sha256(CONTENT).hexdigest()


class Handler(BaseHTTPRequestHandler):
    """Answers with the content, too slowly, without end, or not at all."""

    def do_GET(self) -> None:
        if self.path == "/none":
            self.send_error(404)
            return
        if self.path.startswith("/to/"):
            self.send_response(302)
            self.send_header("Location", self.path.removeprefix("/to/"))
            self.end_headers()
            return
        self.send_response(200)
        self.end_headers()
        try:
            if self.path == "/net.keras":
                self.wfile.write(CONTENT)
            while self.path == "/endless":
                self.wfile.write(CONTENT)
            for _ in range(100 if self.path == "/slow" else 0):
                self.wfile.write(b"x")
                time.sleep(0.05)
        except (BrokenPipeError, ConnectionResetError):
            pass

    def log_message(self, *_) -> None:
        pass


class Server(ThreadingHTTPServer):
    """A server that does not print what goes wrong with its clients, as it shall here."""

    def handle_error(self, *_) -> None:
        pass


@pytest.fixture(scope="module")
def address():
    server = Server(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()


def plain(address: str, wait: float) -> http.client.HTTPResponse:
    """What the tests alone allow: plain http to this machine."""
    return urllib.request.build_opener(urllib.request.ProxyHandler({})).open(address, timeout=wait)


def refusal(address: str, to, **options) -> str:
    with pytest.raises(InputError) as refused:
        download.fetch(address, HASH, to, **{"open_address": plain} | options)
    assert not to.exists(), "nothing is left"
    assert str(refused.value).isprintable()
    return str(refused.value)


def test_a_file(address, tmp_path):
    to = tmp_path / "model" / "net.keras"
    download.fetch(f"{address}/net.keras", HASH, to, open_address=plain)
    assert to.read_bytes() == CONTENT


def test_another_file(address, tmp_path):
    (tmp_path / "x.keras").write_bytes(b"an earlier one")
    said = refusal(f"{address}/other", tmp_path / "x.keras")
    assert f"its SHA-256 is {hashlib.sha256(b'').hexdigest()}, not {HASH}." in said


def test_bounds(address, tmp_path):
    to = tmp_path / "x.keras"
    assert "has more than 1,000,000 bytes" in refusal(f"{address}/endless", to, most=10**6)
    assert "took longer than 0.3 seconds" in refusal(f"{address}/slow", to, seconds=0.3)
    assert "cannot be downloaded: Not Found." in refusal(f"{address}/none", to)
    assert "cannot be downloaded" in refusal("http://127.0.0.1:1/x", to)


@pytest.mark.parametrize(
    "address", ["http://example.org/x", "file:///etc/passwd", "ftp://example.org/x", "data:,x"]
)
def test_other_schemes_are_not_opened(address, tmp_path):
    said = refusal(address, tmp_path / "x.keras", open_address=download.open_https)
    assert "cannot be downloaded: unknown url type" in said


def test_a_machine_of_this_network_is_asked_nothing(address, tmp_path, monkeypatch):
    """As by a name that leads to one; whether TLS succeeds first does not matter here."""
    asked = []
    monkeypatch.setattr(http.client.HTTPConnection, "request", lambda *_, **__: asked.append(1))
    monkeypatch.setattr(http.client.HTTPSConnection, "connect", http.client.HTTPConnection.connect)
    connection = download._Connection("127.0.0.1", int(address.rpartition(":")[2]))
    with pytest.raises(OSError, match="private network"):
        connection.connect()
    assert connection.sock is None
    assert not asked


def test_no_redirect_to_another_scheme():
    redirects = download._Redirects()
    request = urllib.request.Request("https://example.org/x")
    for elsewhere in ("http://example.org/x", "file:///etc/passwd", "ftp://example.org/x"):
        with pytest.raises(urllib.error.URLError, match="not https"):
            redirects.redirect_request(request, None, 302, "", None, elsewhere)
    followed = redirects.redirect_request(request, None, 302, "", {}, "https://example.org/y")
    assert followed.full_url == "https://example.org/y"


@pytest.fixture(scope="module")
def secure(tmp_path_factory):
    """A server with a certificate of its own, and the certificate."""
    if not shutil.which("openssl"):
        pytest.skip("openssl makes the certificate")
    folder = tmp_path_factory.mktemp("tls")
    made = [folder / "key.pem", folder / "certificate.pem"]
    command = ["openssl", "req", "-x509", "-nodes", "-newkey", "rsa:2048", "-days", "2"]
    command += ["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost"]
    command += ["-keyout", made[0], "-out", made[1]]
    subprocess.run(command, check=True, capture_output=True)
    server = Server(("127.0.0.1", 0), Handler)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(made[1], made[0])
    server.socket = context.wrap_socket(server.socket, server_side=True)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"https://localhost:{server.server_port}", made[1]
    server.shutdown()


def test_over_https(secure, address, tmp_path, monkeypatch):
    where, certificate = secure
    to = tmp_path / "net.keras"
    options = {"open_address": download.open_https}
    assert "CERTIFICATE_VERIFY_FAILED" in refusal(f"{where}/net.keras", to, **options)
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    said = refusal(f"{where}/net.keras", to, **options)
    assert "localhost is a machine of a private network" in said
    monkeypatch.setattr(download, "_public", lambda _: True)
    monkeypatch.setenv("https_proxy", "http://127.0.0.1:1")  # proxies are not used
    download.fetch(f"{where}/net.keras", HASH, to, **options)
    assert to.read_bytes() == CONTENT
    download.fetch(f"{where}/to/{where}/net.keras", HASH, to, **options)
    assert to.read_bytes() == CONTENT
    for elsewhere in (f"{address}/net.keras", "file:///etc/passwd"):
        said = refusal(f"{where}/to/{elsewhere}", to, **options)
        assert "cannot be downloaded" in said
    assert "Not Found" in refusal(f"{where}/none", to, **options)
    assert "has more than 1,000,000 bytes" in refusal(f"{where}/endless", to, most=10**6, **options)
