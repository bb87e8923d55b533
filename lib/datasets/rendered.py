"""Rendered data sets are kept on the disk."""

from lib.checkpoints import CheckpointError, load, save, source_hash
from lib.paths import exports_folder


def kept(name, sample_factors, render, num, seed, size, progress):
    """Pictures uint8 (num, 3, size, size) and their factors (num, F), rendered at the first call, then loaded.

    The file, below `exports/data/`, is named after its content: number, seed, size and the code that renders. Delete
    it at any time; a damaged one is rendered again, which is said in one printed line.

    Args:
        name: of the data set. sample_factors: function of num and seed. render: function of factors, size, progress.
    """
    factors = sample_factors(num, seed)
    path = exports_folder() / "data" / f"{name}_{num}_{seed}_{size}_{source_hash(sample_factors, render)}.safetensors"
    if path.exists():
        try:
            stored = load(path)
            return stored["pictures"], stored["factors"]
        except (CheckpointError, KeyError, TypeError):
            print(f"{path.name} is damaged; rendering the {name} again")
    pictures = render(factors, size, progress)
    try:
        save(path, {"pictures": pictures, "factors": factors})
    except CheckpointError as error:
        print(f"The {name} are not kept: {error}")
    return pictures, factors
