"""`make update` with real repositories: it takes the newest version, and nothing of the reader's is ever lost."""

import json
import os
import shutil
import subprocess
import sys

import nbformat
import pytest
from nbclient import NotebookClient
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

from lib.storage.paths import ROOT
from lib.workbook import mine, update
from lib.workbook.update import UpdateError

pytestmark = pytest.mark.skipif(not shutil.which("git"), reason="needs git: apt install git")

DAY = "2026-11-28"
ONE, TWO = "notebooks/01_one.ipynb", "notebooks/02_two.ipynb"
LIBRARY = "lib/model.py"
GIT = {
    "GIT_CONFIG_GLOBAL": os.devnull,
    "GIT_CONFIG_NOSYSTEM": "1",
    "GIT_AUTHOR_NAME": "Ada",
    "GIT_AUTHOR_EMAIL": "ada@uni.example",
    "GIT_COMMITTER_NAME": "Ada",
    "GIT_COMMITTER_EMAIL": "ada@uni.example",
    "GIT_TERMINAL_PROMPT": "0",
}


def git(folder, *arguments):
    done = subprocess.run(["git", "-C", str(folder), *arguments], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


def notebook(folder, name, text):
    """A notebook that says `text`, links to the glossary and reads a file by a relative path."""
    cells = [new_markdown_cell(f"# {text}\n\n[a term](glossary.md#a-term)", id="title")]
    cells += [new_code_cell('print(open("../data/tale.txt").read())', id="reads")]
    write(folder, name, nbformat.writes(new_notebook(cells=cells)))


def write(folder, name, text):
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, "utf-8")


def commit(folder, *names):
    git(folder, "add", "--all", "--force", "--", *names)
    git(folder, "commit", "--quiet", "-m", "A change")


@pytest.fixture(scope="module")
def published(tmp_path_factory):
    """A folder with a bare repository, a publisher's clone and a reader's, whose name has a space."""
    with pytest.MonkeyPatch.context() as patch:
        for name, value in GIT.items():
            patch.setenv(name, value)
        folder = tmp_path_factory.mktemp("repositories")
        git(folder, "init", "--quiet", "--bare", "published.git")
        git(folder / "published.git", "symbolic-ref", "HEAD", "refs/heads/main")
        git(folder, "init", "--quiet", "publisher")
        git(folder / "publisher", "symbolic-ref", "HEAD", "refs/heads/main")
        for name in (ONE, TWO):
            notebook(folder / "publisher", name, "First edition")
        for name, text in (
            ("notebooks/glossary.md", "# Glossary\n\n### a term\n\nIts meaning.\n"),
            ("data/tale.txt", "Once upon a time."),
            (".gitignore", "notebooks/mine/\ndata/*\n!data/tale.txt\n"),
            ("requirements.txt", "numpy==1\n"),
            (LIBRARY, "\n".join(f"line_{number} = 0" for number in range(20)) + "\n"),
        ):
            write(folder / "publisher", name, text)
        commit(folder / "publisher", ".")
        git(folder / "publisher", "remote", "add", "origin", "../published.git")
        git(folder / "publisher", "push", "--quiet", "--set-upstream", "origin", "main")
        git(folder, "clone", "--quiet", "published.git", "a reader")
        git(folder / "a reader", "remote", "set-url", "origin", "../published.git")
    return folder


class Pair:
    """The publisher's clone and the reader's."""

    def __init__(self, folder):
        self.folder, self.publisher, self.reader = folder, folder / "publisher", folder / "a reader"

    def publish(self, *names):
        commit(self.publisher, *names)
        git(self.publisher, "push", "--quiet", "origin", "main")

    def publish_edition(self, *names):
        for name in names:
            notebook(self.publisher, name, "Second edition")
        self.publish(*names)

    def update(self):
        return update.update(self.reader, DAY)

    def text(self, name):
        return (self.reader / name).read_text("utf-8")

    def kept(self):
        folder = self.reader / mine.MINE
        return {path.name: path.read_text("utf-8") for path in folder.iterdir()} if folder.exists() else {}

    def state(self):
        """Everything of the reader's: files, index, commits and branches."""
        files = {
            path.relative_to(self.reader).as_posix(): path.read_bytes() if path.is_file() else os.readlink(path)
            for path in self.reader.rglob("*")
            if ".git" not in path.relative_to(self.reader).parts and (path.is_file() or path.is_symlink())
        }
        return files, git(self.reader, "status", "--porcelain=v2"), git(self.reader, "show-ref", "--heads", "--head")

    def is_newest(self):
        heads = [git(folder, "rev-parse", "HEAD") for folder in (self.publisher, self.reader)]
        return heads[0] == heads[1]


@pytest.fixture
def pair(published, tmp_path, monkeypatch):
    for name, value in GIT.items():
        monkeypatch.setenv(name, value)
    return Pair(shutil.copytree(published, tmp_path / "repositories", symlinks=True))


def refused(pair, *words):
    """The update stops with these words, and nothing of the reader's is another one than before."""
    before = pair.state()
    with pytest.raises(UpdateError) as error:
        pair.update()
    assert pair.state() == before
    for word in words:
        assert word in str(error.value)
    return str(error.value)


# --- what is taken --------------------------------------------------------------------------------------------------


def test_the_newest_version_is_taken(pair):
    pair.publish_edition(ONE)
    pair.publish_edition(TWO)
    said = pair.update()
    assert "Updated to the newest version of origin/main" in said and "2 new commits" in said
    assert pair.is_newest() and "Second edition" in pair.text(ONE) and not pair.kept()
    assert "package" not in said and "mine" not in said


def test_nothing_new_changes_nothing(pair):
    notebook(pair.reader, ONE, "My own")
    before = pair.state()
    said = pair.update()
    assert said.startswith("Nothing new") and ONE in said and pair.state() == before


def test_changed_packages_are_announced(pair):
    write(pair.publisher, "requirements.txt", "numpy==2\n")
    pair.publish(".")
    assert "pip install -r requirements.txt" in pair.update()


# --- notebooks ------------------------------------------------------------------------------------------------------


def test_a_changed_notebook_is_kept_aside_and_replaced(pair):
    notebook(pair.reader, ONE, "My own")
    notebook(pair.reader, TWO, "My own")
    pair.publish_edition(ONE)
    said = pair.update()
    assert pair.is_newest() and "Second edition" in pair.text(ONE)
    ((name, kept),) = pair.kept().items()
    assert name == f"01_one_{DAY}.ipynb" and "# My own" in kept
    assert f"{ONE} → notebooks/mine/{name}" in said
    assert "My own" in pair.text(TWO) and TWO in said.partition("does not touch")[2], "only the reader has changed it"
    assert git(pair.reader, "status", "--porcelain").split() == ["M", TWO], "git ignores what is kept"


def test_what_was_kept_is_never_overwritten(pair):
    for text in ("First try", "Second try", "Third try"):
        notebook(pair.reader, ONE, text)
        notebook(pair.publisher, ONE, f"Edition after the {text}")
        pair.publish(".")
        pair.update()
    kept = pair.kept()
    assert sorted(kept) == [f"01_one_{DAY}.ipynb", f"01_one_{DAY}_2.ipynb", f"01_one_{DAY}_3.ipynb"]
    assert [text in kept[name] for name, text in zip(sorted(kept), ("First", "Second", "Third"), strict=True)]


def test_staged_versions_are_kept_too(pair):
    for name in (ONE, TWO):
        notebook(pair.reader, name, "Staged")
        git(pair.reader, "add", name)
    notebook(pair.reader, ONE, "In the folder")
    (pair.reader / TWO).unlink()
    pair.publish_edition(ONE)
    pair.update()
    kept = pair.kept()
    assert "In the folder" in kept[f"01_one_{DAY}.ipynb"] and "Staged" in kept[f"01_one_{DAY}_2.ipynb"]
    assert "Staged" in kept[f"02_two_{DAY}.ipynb"] and "First edition" in pair.text(TWO)
    assert not git(pair.reader, "status", "--porcelain") and pair.is_newest()


def test_a_notebook_that_equals_the_new_version_is_not_kept(pair):
    notebook(pair.reader, ONE, "Second edition")
    pair.publish_edition(ONE)
    pair.update()
    assert pair.is_newest() and not pair.kept() and not git(pair.reader, "status", "--porcelain")


def test_a_changed_notebook_that_the_update_removes_or_renames_is_kept(pair):
    notebook(pair.reader, ONE, "My own")
    git(pair.publisher, "mv", ONE, "notebooks/01_new_name.ipynb")
    pair.publish(".")
    pair.update()
    assert "# My own" in pair.kept()[f"01_one_{DAY}.ipynb"] and not (pair.reader / ONE).exists() and pair.is_newest()


@pytest.mark.parametrize("staged", [False, True])
def test_deleted_notebooks_come_back(pair, staged):
    for name in (ONE, TWO):
        git(pair.reader, "rm", "--quiet", name) if staged else (pair.reader / name).unlink()
    pair.publish_edition(ONE)
    said = pair.update()
    assert "Second edition" in pair.text(ONE) and "First edition" in pair.text(TWO) and not pair.kept()
    assert ONE in said.partition("are back")[2] and TWO in said.partition("are back")[2]
    assert not git(pair.reader, "status", "--porcelain")
    (pair.reader / ONE).unlink()
    assert "are back" in pair.update() and "Second edition" in pair.text(ONE), "also where there is nothing new"


def test_a_notebook_that_git_no_longer_tracks_is_not_overwritten(pair):
    git(pair.reader, "rm", "--quiet", "--cached", TWO)
    notebook(pair.reader, TWO, "My own")
    pair.publish_edition(ONE)
    pair.update()
    assert "My own" in pair.text(TWO)
    pair.publish_edition(TWO)
    pair.update()
    assert "# My own" in pair.kept()[f"02_two_{DAY}.ipynb"] and "Second edition" in pair.text(TWO)


@pytest.mark.parametrize("staged", [False, True])
def test_an_own_notebook_where_a_new_one_comes_is_kept_aside(pair, staged):
    name = "notebooks/03_three.ipynb"
    notebook(pair.reader, name, "My own")
    if staged:
        git(pair.reader, "add", name)
    pair.publish_edition(name)
    said = pair.update()
    assert "# My own" in pair.kept()[f"03_three_{DAY}.ipynb"] and "Second edition" in pair.text(name)
    assert f"03_three_{DAY}.ipynb" in said and not git(pair.reader, "status", "--porcelain")


# --- a kept notebook ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("folder", ["notebooks", "notebooks/mine"])
def test_a_kept_notebook_is_valid_and_finds_what_it_found(pair, folder):
    notebook(pair.reader, ONE, "My own")
    pair.publish_edition(ONE)
    pair.update()
    nb = nbformat.reads(pair.kept()[f"01_one_{DAY}.ipynb"], 4)
    nbformat.validate(nb)
    assert nb.cells[0].source == "# My own\n\n[a term](../glossary.md#a-term)"
    done = NotebookClient(nb, kernel_name="python3", resources={"metadata": {"path": str(pair.reader / folder)}})
    assert done.execute().cells[-1].outputs[0].text == "Once upon a time.\n", "wherever it is run, also if copied back"


def test_links_lead_to_where_they_led_and_nothing_else_is_changed(tmp_path):
    write(tmp_path, "glossary.md", "")
    write(tmp_path, "pictures/a.png", "")
    text = "[a](glossary.md#a) ![b](pictures/a.png) [c](none.md) [d](https://x.org/glossary.md) [e](#glossary.md)"
    text += " ![f](attachment:glossary.md) [g](/glossary.md) (pictures)"
    cells = [new_markdown_cell(text), new_code_cell("a[0](glossary.md)")]
    given = nbformat.writes(new_notebook(cells=cells)).encode()
    nb = nbformat.reads(mine.moved_down(given, tmp_path).decode(), 4)
    changed = text.replace("(glossary.md#a)", "(../glossary.md#a)").replace("(pictures/", "(../pictures/")
    assert [nb.cells[0].source, nb.cells[-1].source] == [changed, "a[0](glossary.md)"] and len(nb.cells) == 3
    again = mine.moved_down(mine.moved_down(given, tmp_path), tmp_path)
    assert len(json.loads(again)["cells"]) == 3, "the cell that changes the folder stands there once"


@pytest.mark.parametrize("data", [b"", b"cut off {", b"[]", b'{"cells": 1}', b"\xff\xfe", b'{"cells": [{}]}'])
def test_what_is_no_notebook_is_kept_as_it_is(data, tmp_path):
    assert mine.moved_down(data, tmp_path) == data


# --- other files of the reader's ------------------------------------------------------------------------------------


def test_a_changed_file_of_the_library_is_never_overwritten(pair):
    notebook(pair.reader, ONE, "My own")
    write(pair.reader, LIBRARY, "mine = 1\n")
    write(pair.publisher, LIBRARY, "line_0 = 1\n")
    pair.publish(".")
    pair.publish_edition(ONE)
    refused(pair, LIBRARY, "git commit", f"git checkout HEAD -- {LIBRARY}", "Nothing has been changed")
    git(pair.reader, "add", LIBRARY)
    refused(pair, LIBRARY)


def test_a_changed_file_that_the_update_does_not_touch_stays(pair):
    write(pair.reader, LIBRARY, "mine = 1\n")
    write(pair.reader, "requirements.txt", "numpy==3\n")
    git(pair.reader, "add", "requirements.txt")
    write(pair.reader, "notes.txt", "untracked")
    pair.publish_edition(ONE)
    said = pair.update()
    assert pair.text(LIBRARY) == "mine = 1\n" and pair.text("notes.txt") == "untracked"
    assert git(pair.reader, "status", "--porcelain").splitlines() == [
        f" M {LIBRARY}",
        "M  requirements.txt",
        "?? notes.txt",
    ]
    assert LIBRARY in said and "requirements.txt" in said and "Second edition" in pair.text(ONE)


@pytest.mark.parametrize(
    ("name", "new"),
    [
        ("lib/new.py", "lib/new.py"),
        ("data/photographs.txt", "data/photographs.txt"),  # ignored by git, which would overwrite it without a word
        ("data/digits", "data/digits/train.txt"),  # a file where a folder comes
        ("data/digits/own.txt", "data/digits"),  # and the other way round
    ],
)
def test_untracked_and_ignored_files_are_never_overwritten(pair, name, new):
    write(pair.reader, name, "mine")
    write(pair.publisher, new, "published")
    pair.publish(".", new)
    refused(pair, "data/digits" if "digits" in name else name, "Move them", "Nothing has been changed")


def test_an_untracked_file_that_equals_the_new_one_does_not_stop_the_update(pair):
    for folder in (pair.reader, pair.publisher):
        write(folder, "data/digits/train.txt", "the same")
    pair.publish("data/digits/train.txt")
    pair.update()
    assert pair.is_newest() and not git(pair.reader, "status", "--porcelain")


@pytest.mark.skipif(os.name == "nt", reason="links need rights on Windows")
def test_a_linked_folder_is_not_replaced(pair):
    write(pair.folder, "disk/own.txt", "mine")
    (pair.reader / "data" / "digits").symlink_to(pair.folder / "disk")
    write(pair.publisher, "data/digits/train.txt", "published")
    pair.publish("data/digits/train.txt")
    refused(pair, "data/digits")


# --- commits of the reader's ----------------------------------------------------------------------------------------


def test_own_commits_are_merged(pair):
    write(pair.reader, LIBRARY, pair.text(LIBRARY) + "mine = 1\n")
    commit(pair.reader, LIBRARY)
    own = git(pair.reader, "rev-parse", "HEAD")
    notebook(pair.reader, ONE, "My own")
    write(pair.publisher, LIBRARY, "first = 1\n" + pair.text(LIBRARY).removesuffix("mine = 1\n"))
    pair.publish(".")
    pair.publish_edition(ONE)
    said = pair.update()
    assert "merge" in said and "2 new commits" in said
    assert pair.text(LIBRARY).startswith("first = 1\n") and pair.text(LIBRARY).endswith("mine = 1\n")
    parents = git(pair.reader, "rev-parse", "HEAD^1", "HEAD^2")
    assert parents == own + git(pair.publisher, "rev-parse", "HEAD")
    assert "# My own" in pair.kept()[f"01_one_{DAY}.ipynb"] and "Second edition" in pair.text(ONE)
    assert git(pair.reader, "worktree", "list").count("\n") == 1, "the folder of the merge is gone"
    assert pair.update().startswith("Nothing new")


def test_own_commits_without_anything_new_stay(pair):
    write(pair.reader, LIBRARY, "mine = 1\n")
    commit(pair.reader, LIBRARY)
    before = pair.state()
    assert pair.update().startswith("Nothing new") and pair.state() == before


def test_own_commits_that_conflict_stop_the_update(pair):
    notebook(pair.reader, ONE, "My own")
    commit(pair.reader, ONE)
    notebook(pair.reader, TWO, "Not committed")
    pair.publish_edition(ONE, TWO)
    said = refused(pair, ONE, "git merge origin/main", "git branch my-work", "Nothing has been changed")
    assert git(pair.reader, "worktree", "list").count("\n") == 1
    for line in said.splitlines()[-2:]:  # the remedy that it names
        git(pair.reader, *line.split()[1:])
    pair.update()
    assert pair.is_newest() and len(pair.kept()) == 2
    assert "My own" in git(pair.reader, "show", f"my-work:{ONE}")


# --- what cannot be updated -----------------------------------------------------------------------------------------


def test_without_a_network(pair):
    notebook(pair.reader, ONE, "My own")
    pair.publish_edition(ONE)
    (pair.folder / "published.git").rename(pair.folder / "gone")
    refused(pair, "origin", "published.git", "cannot be reached", "Nothing has been changed")


def test_without_an_upstream(pair):
    git(pair.reader, "checkout", "--quiet", "-b", "my-work")
    refused(pair, "my-work", "git branch --set-upstream-to=origin/main")


def test_with_a_detached_head(pair):
    git(pair.reader, "checkout", "--quiet", "--detach")
    refused(pair, "detached HEAD", "git switch main")


def test_during_a_merge(pair):
    notebook(pair.reader, ONE, "My own")
    commit(pair.reader, ONE)
    pair.publish_edition(ONE)
    git(pair.reader, "fetch", "--quiet")
    subprocess.run(["git", "-C", str(pair.reader), "merge", "origin/main"], capture_output=True)
    refused(pair, "is not finished here", "git status")
    git(pair.reader, "add", ONE)
    refused(pair, "is not finished here")


def test_in_a_downloaded_archive(pair):
    (pair.reader / ".git").rename(pair.folder / "elsewhere")
    with pytest.raises(UpdateError, match="no clone of the workbook"):
        pair.update()
    git(pair.folder, "init", "--quiet")  # a repository around it is none of the workbook's
    with pytest.raises(UpdateError, match="no clone of the workbook"):
        pair.update()


def test_without_git(pair, monkeypatch):
    monkeypatch.setenv("PATH", str(pair.folder))
    with pytest.raises(UpdateError, match="git is not installed"):
        pair.update()


def test_started_by_git_itself(pair, monkeypatch):
    """In a hook git names its own repository in the environment."""
    pair.publish_edition(ONE)
    monkeypatch.setenv("GIT_DIR", str(pair.publisher / ".git"))
    pair.update()
    monkeypatch.delenv("GIT_DIR")
    assert pair.is_newest()


# --- interrupted ----------------------------------------------------------------------------------------------------


def test_when_git_fails_halfway_everything_is_put_back(pair):
    notebook(pair.reader, ONE, "My own")
    (pair.reader / TWO).unlink()
    pair.publish_edition(ONE)
    write(pair.publisher, LIBRARY, "published = 1\n")
    pair.publish(".")
    git(pair.reader, "update-index", "--assume-unchanged", LIBRARY)  # hides a change from us, not from the merge
    write(pair.reader, LIBRARY, "mine = 1\n")
    refused(pair, "git merge failed", LIBRARY)


def test_a_full_disk_while_notebooks_are_kept(pair, monkeypatch):
    notebook(pair.reader, ONE, "My own")
    notebook(pair.reader, TWO, "My own")
    pair.publish_edition(ONE, TWO)
    whole = mine.write_atomically

    def fills_up(path, data):
        if path.name.startswith("02"):
            raise OSError(28, "No space left on device")
        whole(path, data)

    monkeypatch.setattr(mine, "write_atomically", fills_up)
    refused(pair, "No space left", "Nothing has been changed")


@pytest.mark.parametrize("step", ["checkout", "merge"])
@pytest.mark.parametrize("done", [False, True])
def test_killed_at_any_step_and_started_again(pair, monkeypatch, step, done):
    notebook(pair.reader, ONE, "My own")
    notebook(pair.reader, "notebooks/03_three.ipynb", "My own")
    pair.publish_edition(ONE, "notebooks/03_three.ipynb")
    write(pair.publisher, LIBRARY, "published = 1\n")
    pair.publish(".")
    run = subprocess.run

    def killed(command, **settings):
        if step not in command:
            return run(command, **settings)
        if done:
            run(command, **settings)
        raise KeyboardInterrupt

    monkeypatch.setattr(subprocess, "run", killed)
    with pytest.raises(KeyboardInterrupt):
        pair.update()
    monkeypatch.setattr(subprocess, "run", run)
    pair.update()
    kept = pair.kept()
    assert "# My own" in kept[f"01_one_{DAY}.ipynb"] and "# My own" in kept[f"03_three_{DAY}.ipynb"]
    assert pair.is_newest() and not git(pair.reader, "status", "--porcelain")


def test_files_that_a_killed_merge_had_brought_already(pair):
    pair.publish_edition(ONE, "notebooks/03_three.ipynb")
    write(pair.publisher, LIBRARY, "published = 1\n")
    write(pair.publisher, "lib/new.py", "new = 1\n")
    pair.publish(".")
    for name in (ONE, "notebooks/03_three.ipynb", LIBRARY, "lib/new.py"):
        write(pair.reader, name, (pair.publisher / name).read_text("utf-8"))
    pair.update()
    assert pair.is_newest() and not pair.kept() and not git(pair.reader, "status", "--porcelain")


# --- the command ----------------------------------------------------------------------------------------------------


def test_as_a_program(pair, monkeypatch, capsys):
    pair.publish_edition(ONE)
    monkeypatch.setattr(update, "ROOT", pair.reader)
    monkeypatch.setattr(update.update, "__defaults__", (pair.reader, None))
    assert update.main() == 0 and "Updated to the newest version" in capsys.readouterr().out
    (pair.folder / "published.git").rename(pair.folder / "gone")
    assert update.main() == 1 and capsys.readouterr().err.startswith("No update: origin")


def test_it_needs_nothing_but_the_standard_library():
    code = "import sys, lib.workbook.update; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-S", "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    foreign = {name for name in done.stdout.split() if name.partition(".")[0] not in sys.stdlib_module_names}
    assert {name for name in foreign if not name.startswith(("lib", "__main__", "__mp_main__"))} == set()
