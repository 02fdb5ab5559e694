"""AutoAttack: an ensemble of iterative attacks that leaves no parameters to choose.

`ensemble` runs it. Its attacks are written as a start and a step (`stepping`), so that images leave
a batch once they are attacked successfully (`queue`), and draw random numbers that belong to an
image and not to a batch (`randomness`).
"""

from pellucid.models.errors import unknown

VERSIONS = ("standard", "plus", "rand")


def check_version(version: str) -> None:
    """Refuses the name of an unknown version.

    Raises:
        InputError: It is unknown; the known ones are named.
    """
    if version not in VERSIONS:
        raise unknown("AutoAttack version", version, VERSIONS)
