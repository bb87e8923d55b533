"""What comes from outside, files, archives and values typed on the command line, cannot run code or write elsewhere."""

import ast
import io
import math
import tarfile
import zipfile

import nbformat
import pytest
import yaml

from lib.experiments import waves
from lib.storage.paths import ROOT
from lib.workbook import notebooks
from lib.workbook.run import run

# --- no code that runs what it reads --------------------------------------------------------------------------------

UNPICKLING = {"pickle", "cPickle", "_pickle", "dill", "cloudpickle", "joblib", "shelve", "marshal", "jsonpickle"}
RUNNING = {"eval", "exec", "compile", "os.system", "os.popen", "torch.load", "torch.hub.load", "torch.jit.load"}
RUNNING |= {"pd.read_pickle", "pandas.read_pickle", "yaml.load", "yaml.load_all", "yaml.unsafe_load", "yaml.full_load"}
RUNNING |= {
    "yaml.unsafe_load_all",
    "yaml.full_load_all",
    "hydra.utils.instantiate",
    "instantiate",
    "importlib.import_module",
}
UNPACKING = {"extractall", "extract", "unpack_archive"}
STUDENTS = "lib/workbook/student/bench.py"  # runs what students write: theirs in their own kernel, others' in a box


def dangers(code):
    """Names in a piece of Python code that can run, or unpack into any place, what is read from a file."""
    for node in ast.walk(ast.parse(code)):
        if isinstance(node, ast.Import):
            yield from {alias.name for alias in node.names if alias.name.partition(".")[0] in UNPICKLING}
        elif isinstance(node, ast.ImportFrom) and (node.module or "").partition(".")[0] in UNPICKLING:
            yield node.module
        elif isinstance(node, ast.Call):
            name = ast.unparse(node.func)
            if name in RUNNING or name.rpartition(".")[2] in UNPACKING:
                yield name
            for keyword in node.keywords:
                value = keyword.value.value if isinstance(keyword.value, ast.Constant) else "not a constant"
                if keyword.arg in ("allow_pickle", "shell") and value is not False:
                    yield f"{name}({keyword.arg}=…)"


def sources():
    for path in sorted((ROOT / "lib").rglob("*.py")):
        yield path.relative_to(ROOT).as_posix(), path.read_text("utf-8")
    for path in notebooks.paths():
        for number, cell in enumerate(nbformat.read(path, 4).cells, 1):
            if cell.cell_type == "code" and not cell.source.lstrip().startswith("%"):
                yield f"{path.name}, cell {number}", cell.source


def test_nothing_in_the_library_or_the_notebooks_unpickles_or_runs_what_it_reads():
    found = [f"{place}: {danger}" for place, code in sources() if place != STUDENTS for danger in dangers(code)]
    assert not found, "use safetensors, JSON, yaml.safe_load or np.load: " + "; ".join(found)


@pytest.mark.parametrize(
    "code",
    [
        "import pickle",
        "from joblib import load",
        "import torch\ntorch.load('x')",
        "np.load('x', allow_pickle=True)",
        "np.load('x', allow_pickle=anything)",
        "yaml.load(text, Loader=yaml.Loader)",
        "pd.read_pickle('x')",
        "eval(text)",
        "subprocess.run(text, shell=True)",
        "archive.extractall()",
        "hydra.utils.instantiate(config)",
    ],
)
def test_the_search_finds_what_it_is_for(code):
    assert list(dangers(code))
    assert not list(dangers("model.eval()\nnp.load('x')\nyaml.safe_load(text)\nnp.load('x', allow_pickle=False)"))


# --- archives -------------------------------------------------------------------------------------------------------
# Our own code unpacks none to the disk (the test above); tests/datasets/test_images.py reads pictures in zip files.


def tar_of(path, name, **attributes):
    with tarfile.open(path, "w:gz") as archive:
        info = tarfile.TarInfo(name)
        for attribute, value in attributes.items():
            setattr(info, attribute, value)
        info.size = 0 if info.linkname else 4
        archive.addfile(info, io.BytesIO(b"evil"))
    return path


ESCAPES = {
    "upwards": {"name": "../escaped"},
    "absolute": {"name": "ABSOLUTE/escaped"},
    "a link": {"name": "inside", "type": tarfile.SYMTYPE, "linkname": "../../escaped"},
    "a hard link": {"name": "inside", "type": tarfile.LNKTYPE, "linkname": "../../escaped"},
}


@pytest.mark.skipif(not hasattr(tarfile, "data_filter"), reason="Python before 3.11.4 has no safe way to unpack tar")
@pytest.mark.parametrize("kind", ESCAPES)
@pytest.mark.parametrize("library", ["torchvision", "sklearn"])
def test_the_libraries_that_unpack_downloads_stay_in_their_folder(library, kind, tmp_path, monkeypatch):
    from sklearn.utils.fixes import tarfile_extractall

    from lib.datasets.torchvision_compat import import_torchvision

    monkeypatch.setattr(tarfile.TarFile, "extraction_filter", None)
    member = {
        key: value.replace("ABSOLUTE", str(tmp_path)) if key == "name" else value
        for key, value in ESCAPES[kind].items()
    }
    path, folder = tar_of(tmp_path / "in.tgz", **member), tmp_path / "data" / "folder"
    folder.mkdir(parents=True)
    try:
        if library == "torchvision":
            import_torchvision().datasets.utils.extract_archive(str(path), str(folder))
        else:
            with tarfile.open(path) as archive:
                tarfile_extractall(archive, folder)
    except (tarfile.FilterError, KeyError, OSError):
        pass  # refused as a whole, or, where Python can, the member is put inside
    outside = [found for found in tmp_path.rglob("*escaped") if not found.is_relative_to(folder)]
    assert not outside and not [found for found in folder.rglob("*") if found.is_symlink()], (
        f"{library} followed {kind}"
    )


def test_torchvision_puts_zip_members_inside(tmp_path):
    from lib.datasets.torchvision_compat import import_torchvision

    with zipfile.ZipFile(tmp_path / "in.zip", "w") as archive:
        for name in ("../escaped", f"{tmp_path.as_posix()}/absolute", "fine"):
            archive.writestr(name, b"x")
    folder = tmp_path / "data" / "folder"
    import_torchvision().datasets.utils.extract_archive(str(tmp_path / "in.zip"), str(folder))
    files = [path for path in tmp_path.rglob("*") if path.is_file() and path.name != "in.zip"]
    assert len(files) == 3 and all(path.is_relative_to(folder) for path in files)


# --- parameters of notebooks ----------------------------------------------------------------------------------------

STRINGS = [
    '"', "'", "\\", '\\"', "\\\\'", '"""', "'''", '"; import os #', "\nimport os\n", "\r\nx = 1", "\\n", "{x} %s ${X}",
    "\x00\x0b\x0c\x1c\x85\u2028\u2029", "é 漢 😀", "!!python/name:os.system", "nan", "", " ", "#", 'f"{1}"', "\\N{X}",
]  # fmt: skip
VALUES = [
    None, True, -3, 1.5, 1e300, float("nan"), float("inf"), float("-inf"), [], {}, [1, [2.5, None, "x"]],
    {'"': "'", "\n": ["\\"]}, 10**30, *STRINGS, STRINGS, {text: text for text in STRINGS},
]  # fmt: skip
INFINITE = {"float('nan')": math.nan, "float('inf')": math.inf, "float('-inf')": -math.inf}


def literal(node):
    """The value of a constant expression; anything that would have to be run is an error."""
    if ast.unparse(node) in INFINITE:
        return INFINITE[ast.unparse(node)]
    return ast.literal_eval(node)


@pytest.fixture(scope="module")
def target(tmp_path_factory):
    """A notebook with the parameters `first`, `value` and `last`."""
    path = tmp_path_factory.mktemp("notebook") / "01_any.ipynb"
    cell = nbformat.v4.new_code_cell("first = 0\nvalue = None\nlast = 0", metadata={"tags": ["parameters"]})
    kernel = {"kernelspec": {"name": "python3", "language": "python", "display_name": "Python 3"}}
    nbformat.write(nbformat.v4.new_notebook(cells=[cell], metadata=kernel), path)
    return path


@pytest.mark.parametrize("value", VALUES, ids=lambda value: repr(value)[:30])
def test_every_plain_value_arrives_as_itself_and_as_nothing_else(value, target, monkeypatch):
    from papermill.iorw import load_notebook_node
    from papermill.parameterize import parameterize_notebook

    if isinstance(value, float) and not math.isfinite(value):  # nobody can type these, a profile can hold them
        monkeypatch.setattr(notebooks, "FOLDER", target.parent)
        (target.parent / "profiles").mkdir(exist_ok=True)
        (target.parent / "profiles" / "smoke.yaml").write_text(yaml.safe_dump({"01_any": {"value": value}}))
        found = notebooks.parameters(target, "smoke", extra=["first=1", "last=2"])
        found = {name: found[name] for name in ("first", "value", "last")}
    else:
        found = notebooks.parameters(target, "cpu", extra=["first=1", f"value={value!r}", "last=2"])
    cell = parameterize_notebook(load_notebook_node(str(target)), found).cells[1]
    assignments = ast.parse(cell.source).body
    assert [ast.unparse(node.targets[0]) for node in assignments] == ["first", "value", "last"], "a value became code"
    arrived = literal(assignments[1].value)
    assert arrived == value or (arrived != arrived and value != value)
    assert type(arrived) is type(value)


def test_braces_in_the_name_of_a_folder_are_no_places_for_values(tmp_path, monkeypatch):
    """papermill formats paths with the parameters; what the kernel would do is replaced by nothing."""
    path = tmp_path / "{a} {value.__class__}" / "01_any.ipynb"
    path.parent.mkdir()
    cell = nbformat.v4.new_code_cell("value = 0", metadata={"tags": ["parameters"]})
    nbformat.write(nbformat.v4.new_notebook(cells=[cell]), path)
    monkeypatch.setattr(
        "papermill.engines.PapermillEngines.execute_notebook_with_engine", lambda self, name, nb, **_: nb
    )
    monkeypatch.setenv("WORKBOOK_EXPORTS", str(path.parent / "exports"))
    assert run(path, values={"value": 1}, form="none")[1] == ""
    assert "value = 1" in (path.parent / "exports" / "01_any" / "01_any.ipynb").read_text()


NOT_PLAIN = ["b'x'", "{1, 2}", "{1: 2}", "[{'a': {3}}]", "1j", "...", "[(1, 2)]", "'\\ud800'"]
TEXTS = [
    "!!set {a}",
    "&a [*a]",
    "[" * 1500,
    "9" * 5000,
    "__import__('os').mkdir('x')",
    "lambda: 1",
    "f'{1}'",
    "2026-99-99",
]


@pytest.mark.parametrize("text", NOT_PLAIN)
def test_values_that_would_be_written_into_the_notebook_unquoted_are_refused(text, target):
    with pytest.raises(notebooks.UsageError, match="01_any.ipynb: value wants a plain value, such as .*; got "):
        notebooks.parameters(target, "cpu", extra=[f"value={text}"])


@pytest.mark.parametrize("text", TEXTS, ids=lambda text: text[:30])
def test_what_is_no_value_is_a_text_and_refused_where_a_number_is_wanted(text, target):
    assert notebooks.parameters(target, "cpu", extra=[f"value={text}"]) == {"value": text}
    with pytest.raises(notebooks.UsageError, match="first wants a whole number") as caught:
        notebooks.parameters(target, "cpu", extra=[f"first={text}"])
    assert len(str(caught.value)) < 400


@pytest.mark.parametrize("name", ["value; import os", "__builtins__", "value\nimport os", "import os #", "", "value.x"])
def test_the_name_of_a_parameter_cannot_be_code(name, target):
    with pytest.raises(notebooks.UsageError, match="(?s)has no parameter .*it has first, value, last"):
        notebooks.parameters(target, "cpu", extra=[f"{name}=1"])


def test_a_profile_is_held_to_the_same(target, monkeypatch):
    monkeypatch.setattr(notebooks, "FOLDER", target.parent)
    (target.parent / "profiles").mkdir(exist_ok=True)
    for text in ("01_any: {value: !!set {a}}", "01_any: {value: 2026-11-27}", "!!python/name:os.system"):
        (target.parent / "profiles" / "smoke.yaml").write_text(text)
        with pytest.raises(notebooks.UsageError):
            notebooks.parameters(target, "smoke")


# --- settings of the wave experiments -------------------------------------------------------------------------------


@pytest.mark.parametrize("text", ["hydra.callbacks={}", "+hydra.searchpath=[pkg://os]", "--experimental-rerun=x"])
def test_overrides_in_a_notebook_cannot_name_code(text):
    with pytest.raises(waves.SettingsError):
        waves.compose("unet", [text])


def test_settings_beside_a_trained_model_are_data(tmp_path):
    (tmp_path / ".hydra").mkdir()
    (tmp_path / waves.WEIGHTS).write_bytes(b"")
    folder = tmp_path.as_posix()
    for text in (
        f"x: !!python/object/apply:os.mkdir ['{folder}/run']",
        f"model: {{_target_: os.mkdir, path: {folder}/run}}",
    ):
        (tmp_path / ".hydra" / "config.yaml").write_text(text)
        with pytest.raises(waves.SettingsError, match="are damaged or of another version"):
            waves.load(tmp_path)
    assert not (tmp_path / "run").exists()
