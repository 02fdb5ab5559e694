"""What the tests of hostile files share."""

import socket

import pytest

from tests.hostile.corpus import Trap


@pytest.fixture
def trap(tmp_path):
    """A file that must not appear and a port that must not be reached."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(0.001)
        yield Trap(str(tmp_path / "canary"), listener.getsockname()[1])
        with pytest.raises(TimeoutError):
            listener.accept()
    assert not (tmp_path / "canary").exists()
