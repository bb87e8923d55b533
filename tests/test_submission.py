"""Handing in: who is accepted, what is refused, what the archive holds, and that it works where it is unpacked."""

import datetime
import io
import json
import os
import re
import subprocess
import sys
import unicodedata
import zipfile
from pathlib import Path

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output
from pypdf import PdfReader

from lib import checkpoints, submission, workbook
from lib.paths import ROOT
from lib.submission import Report, SubmissionError, file_stem, members, pdf_name

TWO = {
    "names": "Ada Lovelace; Alan Turing",
    "matriculations": "123; 456",
    "emails": "ada@uni.example; alan@uni.example",
}
DATE = "27 November 2026"


# --- members and names ----------------------------------------------------------------------------------------------


def test_members():
    ada, alan = members(**TWO)
    assert (ada.name, ada.matriculation, ada.email) == ("Ada Lovelace", "123", "ada@uni.example")
    assert (alan.name, alan.surname) == ("Alan Turing", "Turing")
    assert members(" Ada   Lovelace ;", " 123;", "ada@uni.example ;") == [ada], (
        "blanks and a last semicolon mean nothing"
    )


@pytest.mark.parametrize(
    ("name", "shown", "surname", "stem"),
    [
        ("Ada Lovelace", "Ada Lovelace", "Lovelace", "Lovelace"),
        ("Ada Müller-Lüdenscheidt", "Ada Müller-Lüdenscheidt", "Müller-Lüdenscheidt", "Mueller-Luedenscheidt"),
        ("Jan van der Berg", "Jan van der Berg", "van der Berg", "van-der-Berg"),
        ("Ludwig A. von Weiß", "Ludwig A. von Weiß", "von Weiß", "von-Weiss"),
        ("García Márquez, Gabriel", "Gabriel García Márquez", "García Márquez", "Garcia-Marquez"),
        ("Seán O'Brien", "Seán O'Brien", "O'Brien", "OBrien"),
        ("Jean d’Alembert", "Jean d’Alembert", "d’Alembert", "dAlembert"),
        ("Łukasz Øster-Żak", "Łukasz Øster-Żak", "Øster-Żak", "Oster-Zak"),
        ("Suharto", "Suharto", "Suharto", "Suharto"),
        ("ada lovelace", "ada lovelace", "lovelace", "lovelace"),
        ("王, 小明", "小明 王", "王", "王"),
    ],
)
def test_the_surname_and_the_files_named_after_it(name, shown, surname, stem):
    for written in (name, unicodedata.normalize("NFD", name)):  # as macOS may hand it over
        (member,) = members(written, "123", "a@b.example")
        assert (member.name, member.surname, file_stem(member)) == (shown, surname, f"{stem}-123")


REFUSED = [
    ({"names": ""}, 'NAME is missing: add NAME="Ada'),
    ({"names": None}, "NAME is missing"),
    ({"matriculations": "  "}, "MATRICULATION is missing: add MATRICULATION="),
    ({"emails": ""}, "EMAIL is missing: add EMAIL="),
    ({"names": "Ada Lovelace;; Alan Turing"}, "NAME has an empty place beside a semicolon"),
    ({"names": ";"}, "NAME has an empty place"),
    ({"names": "Ada Lovelace"}, "1 in NAME, 2 in MATRICULATION, 2 in EMAIL"),
    ({"names": "A;B;C;D", "matriculations": "1;2;3;4", "emails": "a@x;b@x;c@x;d@x"}, "4 members in NAME: at most 3"),
    ({"names": "Ada; 1234"}, "'1234' is no name"),
    ({"names": "Ada; ../../x"}, "'../../x' is no name"),
    ({"names": "Ada; Alan <b>"}, "'Alan <b>' is no name"),
    ({"names": "Ada; Turing,"}, "'Turing,' is no name"),
    ({"names": "Ada; -"}, "'-' is no name"),
    ({"matriculations": "123; 4/5"}, "'4/5' is no matriculation number"),
    ({"matriculations": "123; abc"}, "'abc' is no matriculation number"),
    ({"matriculations": f"123; {'4' * 21}"}, "at most 20"),
    ({"matriculations": "123; 123"}, "123 stands twice in MATRICULATION"),
    ({"emails": "ada@uni.example; ada@uni.example"}, "ada@uni.example stands twice in EMAIL"),
    ({"emails": "ada@uni.example; alan"}, "'alan' is no e-mail address"),
    ({"emails": "ada@uni.example; a@b@c"}, "'a@b@c' is no e-mail address"),
    ({"emails": "ada@uni.example; Alan <a@b.c>"}, "is no e-mail address"),
]


@pytest.mark.parametrize(("change", "message"), REFUSED)
def test_what_is_missing_or_malformed_is_named_with_its_remedy(change, message):
    with pytest.raises(SubmissionError, match=re.escape(message)) as caught:
        members(**TWO | change)
    assert "\n" not in str(caught.value), "one line must do"


def test_the_name_of_the_pdf():
    assert pdf_name("", "Lovelace-123") == pdf_name(None, "Lovelace-123") == "Lovelace-123.pdf"
    assert pdf_name(" Blatt 1 (Lösung).pdf ", "x") == "Blatt 1 (Lösung).pdf"
    for odd in (
        "a",
        "a.zip",
        "../a.pdf",
        "/a.pdf",
        "C:a.pdf",
        "a/b.pdf",
        "a\\b.pdf",
        ".pdf",
        "a?.pdf",
        "nul.pdf",
        "x" * 99,
    ):
        with pytest.raises(SubmissionError, match="PDF_NAME: .*as in submission.pdf"):
            pdf_name(odd if odd == "a" or "." in odd else f"{odd}.pdf", "x")


def test_sheets():
    every = [f"{number:02}" for number in range(1, 11)]
    assert sorted(",".join(submission.SHEETS.values()).split(",")) == every, "each notebook belongs to one sheet"
    found = {number: f"path {number}" for number in every}
    assert submission.notebooks_of("A", found) == ["path 01"]
    assert submission.notebooks_of(" d ", found) == ["path 06", "path 07", "path 08"]
    assert submission.notebooks_of("ALL", found) == list(found.values())
    for sheet, message in (("", "SHEET is missing: add SHEET=A … E"), (None, "is missing"), ("F", "are A, B, C, D, E")):
        with pytest.raises(SubmissionError, match=message):
            submission.notebooks_of(sheet, found)
    del found["07"], found["08"]
    for sheet in ("D", "all"):
        with pytest.raises(
            SubmissionError, match="notebook 07, 08 is missing.*git checkout.*complete here: A, B, C, E"
        ):
            submission.notebooks_of(sheet, found)


def test_every_sheet_of_this_workbook_is_complete_or_refused_with_what_is_missing():
    found = {path.name[:2]: path for path in workbook.notebooks()}
    for sheet, numbers in submission.SHEETS.items():
        if missing := sorted(set(numbers.split(",")) - set(found)):
            with pytest.raises(SubmissionError, match=f"notebook {', '.join(missing)} is missing"):
                submission.notebooks_of(sheet, found)
        else:
            assert [path.name[:2] for path in submission.notebooks_of(sheet, found)] == numbers.split(",")


def test_the_feedback_form_asks_for_everything():
    text = (ROOT / "feedback.md").read_text("utf-8")
    for question in ("problems", "helpful?", "hours for each exercise", "anything else"):
        assert f"\n## {question}" in text.lower().replace("was it ", ""), question
    numbers = ",".join(submission.SHEETS.values()).split(",")
    note = submission._feedback_note(text, numbers)
    assert note == f"the hours for {', '.join(sorted(numbers))} are not filled in"
    filled = re.sub(r"^(\| (?:01|02) [^|]*\|)", r"\1 5,5", text, flags=re.M)
    assert submission._feedback_note(filled, ["01", "02"]).startswith("filled in")


# --- the PDF --------------------------------------------------------------------------------------------------------


def report(number, *sources, folder=Path("notebooks")):
    headings = [f"## {letter}{number}\n\nSee [the third](#C{number})." for letter in "ABCD"]
    cells = [new_markdown_cell(f"# Exercise {number}\n\n" + "\n\n".join(headings)), *map(new_code_cell, sources)]
    about = {"number": number, "title": f"Exercise {number}"}
    return Report(
        number,
        f"Exercise {number}",
        folder / f"{number}_name.ipynb",
        new_notebook(cells=cells, metadata={"workbook": about}),
    )


ODD = "a_b*c~{d}`$e@uni-x.example"


def test_one_pdf_with_a_cover_continuous_pages_and_links_that_lead_where_they_should():
    people = members("Ada Müller-Lüdenscheidt; van der Berg, Jan", "123; s-456", f"ada@uni.example; {ODD}")
    content, first = submission.merged_pdf([report("02"), report("03")], people, "b", DATE)
    pages = PdfReader(io.BytesIO(content)).pages
    texts = [page.extract_text() for page in pages]
    assert first == [2, 4, 6] and len(pages) == 5
    for wanted in ("Sheet B", DATE, "Müller-Lüdenscheidt", "Jan van der Berg", "123", "s-456", "ada@uni.example", ODD):
        assert wanted in texts[0].replace("\n", ""), wanted
    assert re.search(r"02\s+Exercise 02\s+2–3", texts[0]) and re.search(r"03\s+Exercise 03\s+4–5", texts[0])
    assert "3 / 5" in texts[2] and "5 / 5" in texts[4] and "D03" in texts[4]
    numbers = {page.indirect_reference.idnum: number for number, page in enumerate(pages, 1)}
    links = [
        (number, link.get_object()["/Dest"][0].idnum)
        for number, page in enumerate(pages, 1)
        for link in page.get("/Annots", [])
    ]
    assert len(links) == 16 and all(numbers[target] == (3 if number < 4 else 5) for number, target in links)
    bookmarks = [mark.title for mark in PdfReader(io.BytesIO(content)).outline if not isinstance(mark, list)]
    assert bookmarks == ["Cover", "02 Exercise 02", "03 Exercise 03"]
    assert content == submission.merged_pdf([report("02"), report("03")], people, "b", DATE)[0], "the same each time"


def test_a_notebook_that_cannot_be_printed_is_named():
    broken = report("02")
    broken.nb.cells.append(new_markdown_cell("$\\nosuchcommand{x}$"))
    with pytest.raises(SubmissionError, match="02_name.ipynb cannot be printed: .*nosuchcommand"):
        submission.merged_pdf([broken], members("Ada", "1", "a@b"), "b", DATE)


def test_paths_within_the_workbook_become_relative():
    inside = str(ROOT / "lib" / "losses.py")
    nb = new_notebook(cells=[new_code_cell(f"open({inside!r})", outputs=[new_output("stream", text=f"in {inside}\n")])])
    nb = submission.relative(nb)
    shown = str(Path("lib", "losses.py"))
    assert nb.cells[0].source == f"open({shown!r})" and nb.cells[0].outputs[0].text == f"in {shown}\n"
    nbformat.validate(nb)


# --- the archive ----------------------------------------------------------------------------------------------------


def names_of(path):
    with zipfile.ZipFile(path) as archive:
        return archive.namelist()


@pytest.mark.parametrize(
    "name", ["/a", "../a", "a/../../b", "a\\b", "C:a", "a?", "a.", "a ", "lib/NUL.py", "x" * 181, "a\nb"]
)
def test_names_that_not_every_system_can_unpack_are_refused(name, tmp_path):
    with pytest.raises(SubmissionError, match="cannot be unpacked on every system"):
        submission.write(tmp_path / "a.zip", {"code": {name: b"", "b": b""}})
    assert not list(tmp_path.iterdir())


def test_names_that_differ_in_case_only_are_refused(tmp_path):
    with pytest.raises(SubmissionError, match="lib/A.py and lib/a.py are one file on Windows"):
        submission.write(tmp_path / "a.zip", {"code": {"lib/a.py": b"", "lib/b.py": b"", "lib/A.py": b""}})


def test_the_same_content_gives_the_same_archive_and_sizes_are_those_in_it(tmp_path):
    day = datetime.date(2026, 11, 27)
    kinds = {"code": {"lib/b.py": b"b" * 1000, "lib/a.py": b"a"}, "x.pdf": {"x.pdf": os.urandom(3000)}}
    sizes = submission.write(tmp_path / "1.zip", kinds, day)
    turned = {kind: dict(reversed(files.items())) for kind, files in reversed(kinds.items())}
    submission.write(tmp_path / "2.zip", turned, day)
    assert (tmp_path / "1.zip").read_bytes() == (tmp_path / "2.zip").read_bytes()
    assert names_of(tmp_path / "1.zip") == ["lib/a.py", "lib/b.py", "x.pdf"]
    assert sizes["code"] < 100 and 3000 <= sizes["x.pdf"] < 3100


def test_a_full_disk_leaves_the_archive_of_an_earlier_run(tmp_path, monkeypatch):
    (tmp_path / "a.zip").write_bytes(b"old")

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(checkpoints.os, "fsync", full)
    with pytest.raises(SubmissionError, match="cannot write .*a.zip: No space left.*unchanged.*WORKBOOK_EXPORTS"):
        submission.write(tmp_path / "a.zip", {"code": {"a": b"a"}})
    assert [(path.name, path.read_bytes()) for path in tmp_path.iterdir()] == [("a.zip", b"old")]


def test_what_is_packed_and_what_is_not(stores):
    store, notebooks = stores / "checkpoints", stores / "notebooks"
    secret = b"not to be shared"
    for name in (
        "02_name/model.safetensors", "02_name_more/sweep.json", "03_other/used.json", "03_other/model.safetensors",
        "local/02_name/model/1.safetensors", "local/02_name/model/2.safetensors", "local/02_name/model/2.resume",
        "local/02_name/sweep/.retraining", "02_name/faces.npy",
    ):  # fmt: skip
        (store / name).parent.mkdir(parents=True, exist_ok=True)
        (store / name).write_bytes(secret)
    for name in (
        "02_name.ipynb", "03_other.ipynb", "helper.py", "profiles/smoke.yaml", "shown.png", "faces/private.jpg",
        "film.mp4", ".ipynb_checkpoints/02_name-checkpoint.ipynb", "__pycache__/helper.pyc", "__pycache__/x.py",
    ):  # fmt: skip
        (notebooks / name).parent.mkdir(parents=True, exist_ok=True)
        (notebooks / name).write_bytes(secret)
    if os.name != "nt":
        (stores / "elsewhere.py").write_bytes(secret)
        (notebooks / "link.py").symlink_to(stores / "elsewhere.py")
        (notebooks / "folder").symlink_to(stores)
    handed_in = report("02")
    handed_in.nb.cells.append(new_markdown_cell("![A picture](shown.png)"))
    used = {"03_other/used.json", "local/02_name/model/1.safetensors", "../outside.json"}
    kinds = submission.contents([handed_in], notebooks, used)

    assert set(kinds["notebooks"]) == {
        f"notebooks/{n}" for n in ("02_name.ipynb", "helper.py", "profiles/smoke.yaml", "shown.png")
    }
    own = nbformat.reads(kinds["notebooks"]["notebooks/02_name.ipynb"].decode(), 4)
    assert "workbook" not in own.metadata and own.cells == handed_in.nb.cells
    shipped = {
        f"checkpoints/{n}" for n in ("02_name/model.safetensors", "02_name_more/sweep.json", "03_other/used.json")
    }
    assert set(kinds["checkpoints that ship"]) == shipped
    (local,) = [files for kind, files in kinds.items() if "local" in kind]
    assert set(local) == {"checkpoints/local/02_name/model/1.safetensors"}
    code = set(kinds["code"])
    assert {"README.md", "Makefile", "requirements.txt", "pyproject.toml", "lib/workbook.py", "data/tale.txt"} <= code
    assert "lib/experiments/config/config.yaml" in code and "lib/game_player.js" in code
    assert not [name for name in code if re.search(r"(^|/)(\.|__pycache__|exports|.*egg-info)|^data/(?!tale)", name)]


# --- the whole command ----------------------------------------------------------------------------------------------

TRAINS = """import torch
from lib import checkpoints, training

def train(model, **keep):
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    loss = lambda model, x: model(x).square().mean()
    return training.fit(model, lambda generator: [torch.ones(2, 1)], loss, optimizer, epochs=steps, **keep)

run = checkpoints.train_or_load("02_one/model", torch.nn.Linear(1, 1), train, {"steps": steps})
rows = checkpoints.sweep("02_one/sweep", lambda seed: {"accuracy": 1.0}, [{"seed": 0}])"""


@pytest.fixture
def folder(stores, monkeypatch):
    """A folder of small notebooks in place of the workbook's own: sheet B works, sheet A does not run."""
    folder = stores / "notebooks"
    for name, source in (
        ("01_fails", "1 / 0"),
        ("02_one", TRAINS),
        ("03_two", "import os\nprint(os.environ['PYTHONPATH'])"),
    ):
        parameters = new_code_cell("steps = 2\nretrain = False", metadata={"tags": ["parameters"]})
        nb = new_notebook(cells=[new_markdown_cell(f"# Title of {name}"), parameters, new_code_cell(source)])
        folder.mkdir(exist_ok=True)
        nbformat.write(nb, folder / f"{name}.ipynb")
    (folder / "profiles").mkdir()
    (folder / "profiles" / "smoke.yaml").write_text("02_one: {steps: 1}")
    monkeypatch.setattr(workbook, "NOTEBOOKS", folder)
    return folder


GIVEN = ["--name", "Ada Lovelace; Alan Turing", "--matriculation", "123;456", "--email", "ada@x.example;alan@x.example"]


def test_the_command_packs_what_ran_and_says_what(folder, stores, capsys):
    arguments = ["submission", "--sheet", "b", *GIVEN, "--profile", "smoke", "--pdf-name", "sheet.pdf"]
    assert workbook.main(arguments) == 0, capsys.readouterr()
    printed = capsys.readouterr().out
    path = stores / "exports" / "Lovelace-123.zip"
    names = names_of(path)
    assert names == sorted(names) and not [name for name in names if "01_fails" in name]
    local = [name for name in names if name.startswith("checkpoints/")]
    assert [re.sub(r"[0-9a-f]{16}", "KEY", name) for name in local] == [
        "checkpoints/local/02_one/model/KEY.safetensors",
        "checkpoints/local/02_one/sweep/KEY.json",
    ]
    assert f"{path}: {path.stat().st_size / 1e6:.1f} MB, {len(names)} files" in printed
    for wanted in (
        "sheet.pdf: 3 pages: cover 1; 02 Title of 02_one 2; 03 Title of 03_two 3",
        "02_one.ipynb, 03_two.ipynb",
        "model, sweep",
        "the hours for 02, 03 are not filled in",
        "profile smoke",
    ):
        assert wanted in printed, f"{wanted!r} is not said:\n{printed}"
    with zipfile.ZipFile(path) as archive:
        assert archive.testzip() is None
        one, two = (nbformat.reads(archive.read(f"notebooks/{n}.ipynb").decode(), 4) for n in ("02_one", "03_two"))
        text = "".join(page.extract_text() for page in PdfReader(io.BytesIO(archive.read("sheet.pdf"))).pages)
    assert "steps = 1" in one.cells[2].source and "trained" in json.dumps(one.cells[3].outputs), "as it was run"
    assert set(one.metadata) == {"kernelspec", "language_info"} and "papermill" not in json.dumps(one)
    assert str(ROOT) not in json.dumps(two) + text
    for wanted in ("Sheet B", "Ada Lovelace", "alan@x.example", "Title of 03_two"):
        assert wanted in text


def test_a_notebook_that_does_not_run_is_not_packed(folder, stores, capsys):
    (stores / "exports").mkdir()
    old = stores / "exports" / "Lovelace-123.zip"
    old.write_bytes(b"old")
    assert workbook.main(["submission", "--sheet", "A", *GIVEN]) == 1
    captured = capsys.readouterr()
    assert "FAILED: cell 3 (1 / 0): ZeroDivisionError" in captured.out
    assert "no archive was written" in captured.err and "the one of an earlier run is unchanged" in captured.err
    assert old.read_bytes() == b"old" and not list(old.parent.glob("*.pdf"))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--sheet", "A"], "NAME is missing"),
        (GIVEN, "SHEET is missing"),
        (["--sheet", "E", *GIVEN], "notebook 09, 10 is missing"),
        (["--sheet", "A", *GIVEN, "--pdf-name", "a/b"], "PDF_NAME: 'a/b'"),
        (["--sheet", "A", *GIVEN, "--profile", "fast"], "no profile 'fast'"),
    ],
)
def test_nothing_runs_before_everything_is_known_to_be_right(arguments, message, folder, stores, capsys):
    assert workbook.main(["submission", *arguments]) == 2
    captured = capsys.readouterr()
    assert message in captured.err and captured.out == "" and not (stores / "exports").exists()


def test_a_workbook_without_its_files_is_refused(folder, stores, capsys, monkeypatch):
    monkeypatch.setattr(submission, "FILES", ("feedback.md", "no-such-file.toml"))
    assert workbook.main(["submission", "--sheet", "A", *GIVEN]) == 2
    assert "no-such-file.toml is missing: bring it back (git checkout no-such-file.toml)" in capsys.readouterr().err


# --- unpacked somewhere else ----------------------------------------------------------------------------------------

ELSEWHERE = """
import sys
from pathlib import Path
from lib import checkpoints, workbook
here = Path.cwd()
assert Path(checkpoints.__file__).is_relative_to(here), checkpoints.__file__
for file in sys.argv[1:]:
    assert checkpoints.load(file)["model"], file
assert workbook.main(["list"]) == 0
"""


def test_the_unpacked_archive_works(tmp_path, monkeypatch):
    """What `make submission SHEET=A` packs, without its PDF, of the notebook as it is committed."""
    monkeypatch.delenv("WORKBOOK_CHECKPOINTS")
    (path,) = submission.notebooks_of("A", {path.name[:2]: path for path in workbook.notebooks()})
    handed_in = Report("01", "Title", path, nbformat.read(path, 4))
    submission.write(tmp_path / "a.zip", submission.contents([handed_in], workbook.NOTEBOOKS, set()))
    elsewhere = tmp_path / "an empty folder"
    with zipfile.ZipFile(tmp_path / "a.zip") as archive:
        names = archive.namelist()
        archive.extractall(elsewhere)
    unpacked = sorted(file.relative_to(elsewhere).as_posix() for file in elsewhere.rglob("*") if file.is_file())
    assert unpacked == names, "every name must be relative, with forward slashes"
    weights = [name for name in names if name.endswith(".safetensors")]
    assert weights, "sheet A ships trained models"
    environment = {key: value for key, value in os.environ.items() if not key.startswith("WORKBOOK_")}
    command = [sys.executable, "-c", ELSEWHERE, *weights]
    done = subprocess.run(command, cwd=elsewhere, env=environment | {"PYTHONPATH": ""}, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("01  ") and [line for line in done.stdout.splitlines() if line[0] != " "] == [
        f"01  {workbook.title(handed_in.nb)}"
    ]
    for name in names:
        if not name.endswith((".safetensors", ".png")):
            text = (elsewhere / name).read_text("utf-8")
            assert str(ROOT) + os.sep not in text, f"{name} holds a path of this machine"
