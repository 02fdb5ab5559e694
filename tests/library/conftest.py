"""An installed wheel."""

import pytest

from tests.library.installation import Installed, install


@pytest.fixture(scope="session")
def installed(tmp_path_factory) -> Installed:
    """The wheel in an environment of its own."""
    return install(tmp_path_factory.mktemp("wheel"))
