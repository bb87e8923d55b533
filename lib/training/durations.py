"""How long it took to compute what is stored of a notebook: told before it is computed again."""

import contextlib

from lib.storage import tensors
from lib.storage.files import CheckpointError, read_table
from lib.storage.paths import checkpoints_folder

WORTH_TELLING = 120  # seconds
told = set()  # notebooks, of this process


def tell(name):
    """Something of a notebook is about to be computed: print, the first time, what all of it takes, if that is long.

    Args:
        name: "notebook/run". Times are those of the shipped results, CPU-seconds of all threads together.
    """
    notebook = name.split("/")[0]
    if notebook in told:
        return
    told.add(notebook)
    models = comparisons = 0.0
    for file in (checkpoints_folder() / notebook).glob("[!.]*"):
        with contextlib.suppress(
            CheckpointError, LookupError, TypeError
        ):  # damaged, which is said where it is asked for
            if file.suffix == ".safetensors":
                models += tensors.load(file)["seconds"]
            elif file.suffix == ".json":
                comparisons += sum(row["seconds"] for row in read_table(file)[0])
    if models + comparisons > WORTH_TELLING:
        print(
            f"{notebook}: everything takes about {_minutes(models + comparisons)} of one core, {_minutes(models)} for "
            f"models and {_minutes(comparisons)} for comparisons (with the shipped settings). For the headline models "
            'alone set retrain = True, not "all", or stop (■) at the first comparison; what is finished is kept.'
        )


def _minutes(seconds):
    minutes = max(1, round(seconds / 60))
    return f"{minutes} minute{'s' if minutes > 1 else ''}"
