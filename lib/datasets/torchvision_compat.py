"""Import this before torchvision: it makes `import torchvision` work beside a torch without CUDA.

The torchvision of the package index is compiled for CUDA. Beside a torch for the CPU its compiled part does not load,
and the import ends in "operator torchvision::nms does not exist", although data sets, transforms and `make_grid` do not
need that part. Then, and only then, the missing operators are declared without an implementation. What really needs
them (`ops.nms`, `io.read_image`) still fails when it is called.

torchvision unpacks tar archives as Python does by default, which before Python 3.14 is also out of the folder. Here
Python's rules for archives of plain data become the default: no absolute paths, no `..`, no links that lead outside.
"""

import sys
import tarfile

import torch

# Operators that torchvision describes further while it is imported, for which they have to be known.
DECLARATIONS = (
    "nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
    "qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
)
_library = None  # holds the declarations, which vanish together with this object


def import_torchvision():
    """Import torchvision and return it, with its missing operators declared if it cannot be imported otherwise.

    Raises:
        ImportError: torchvision is not installed.
        RuntimeError: it cannot be imported for another reason than missing operators.
    """
    global _library
    if hasattr(tarfile, "data_filter"):  # since Python 3.11.4
        tarfile.TarFile.extraction_filter = staticmethod(tarfile.data_filter)
    try:
        import torchvision
    except RuntimeError as error:
        if "operator torchvision::" not in str(error) or _library is not None:
            raise
        for name in [name for name in sys.modules if name.partition(".")[0] == "torchvision"]:
            del sys.modules[name]  # what the first attempt has left behind
        _library = torch.library.Library("torchvision", "FRAGMENT")
        for declaration in DECLARATIONS:
            _library.define(declaration)
        import torchvision
    return torchvision


import_torchvision()
