"""Which images the results in a folder were made from."""

import json
from collections.abc import Callable
from pathlib import Path

from pellucid.benchmark.data.dataset import Dataset
from pellucid.models.errors import InputError
from pellucid.models.files import write

RECORD = "data.json"


def same_images(
    folder: Path, data: Dataset, notice: Callable[[str], None] = lambda _: None
) -> None:
    """Records a data set in a folder of results, or compares it with the record.

    The folder's `data.json` has one hash for each name, version and numbers of images: stored
    results are found again by these, so they must have been made from the same images.

    Args:
        folder: A run's folder, which the caller has locked.
        data: The data set that results are about to be made from.
        notice: Receives one line where results are older than the record: nothing tells then which
            images they were made from.

    Raises:
        InputError: Results were made from other images of the same name, version and numbers; the
            record cannot be read or written.
    """
    path, info = folder / RECORD, data.info
    key = {
        "name": info.name,
        "version": info.version,
        "train_images": info.train_size,
        "test_images": info.test_size,
    }
    sha256 = data.sha256()
    remedy = f"Pass --fresh or another --out, or remove {folder}."
    try:
        records = json.loads(path.read_text(encoding="utf-8")) if path.exists() else []
        stored = [record["sha256"] for record in records if key.items() <= record.items()]
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise InputError(f"{path}, which names the images used, is damaged. {remedy}") from error
    if not records and any((folder / "units").glob("*")):
        notice(
            f"the results in {folder} do not say which images they were made from; they are reused"
            f" as results of {info.name}/{info.version}. In doubt, pass --fresh or another --out"
        )
    if not stored:
        records.append(key | {"sha256": sha256})
        write(path, json.dumps(records, indent=1) + "\n")
    elif stored != [sha256]:
        where = f", now read from {info.folder}," if info.folder else ""
        raise InputError(
            f"{folder} holds results made from other images: those of {info.name}/{info.version}"
            f"{where} have changed. {remedy}"
        )
