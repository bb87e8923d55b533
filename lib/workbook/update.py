"""Take the newest version of the workbook and lose nothing of the reader's: `make update`.

JupyterLab saves what was run into the notebooks, which git takes for changes, so that a plain `git pull` stops. Here
notebooks that both the reader and the update have changed are kept in `notebooks/mine/` first. Whatever else would be
overwritten stops the update before anything is changed. Standard library and git only: it runs before anything is
installed. `python -m lib.workbook.update` does the same.
"""

import contextlib
import datetime
import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from lib.storage.files import CheckpointError, write_atomically
from lib.storage.paths import ROOT
from lib.workbook.mine import MINE, keep
from lib.workbook.processes import print_anything

NOTEBOOK = re.compile(r"notebooks/[^/]+\.ipynb")
REQUIREMENTS = {"requirements.txt", "pyproject.toml"}
# What git leaves in its folder while it waits for the reader.
UNFINISHED = ("MERGE_HEAD", "CHERRY_PICK_HEAD", "REVERT_HEAD", "rebase-merge", "rebase-apply")
UNCHANGED = "Nothing has been changed."


class UpdateError(Exception):
    """Why there is no update; everything is as it was before. The message names the remedy."""


# --- git ------------------------------------------------------------------------------------------------------------


def _git(root, *arguments, hooks=True):
    """What git prints, as bytes.

    Raises:
        UpdateError: git failed; with its last words.
    """
    settings = ["merge.autoStash=false"] + ([] if hooks else [f"core.hooksPath={os.devnull}"])
    elsewhere = ("GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE")  # set where git itself has started us
    environment = {name: value for name, value in os.environ.items() if name not in elsewhere}
    command = ["git", "-C", str(root), *(word for setting in settings for word in ("-c", setting)), *arguments]
    done = subprocess.run(command, capture_output=True, env=environment)
    if done.returncode:
        words = (done.stderr or done.stdout).decode("utf-8", "replace").strip()
        raise UpdateError(f"git {arguments[0]} failed. {UNCHANGED}\n{words}")
    return done.stdout


def _line(root, *arguments):
    return os.fsdecode(_git(root, *arguments)).strip()


def _names(root, *arguments):
    """The parts of what git prints with -z."""
    return [part for part in os.fsdecode(_git(root, *arguments)).split("\0") if part]


def _content(root, place):
    """The bytes of a file at a place of git's ("HEAD:path", ":path" for what is staged) as it would lie in the folder,
    line ends included; None if it is not there.
    """
    try:
        return _git(root, "cat-file", "--filters", place)
    except UpdateError:
        return None


def _branch_to_update(root):
    """The branch that is checked out.

    Raises:
        UpdateError: this is no clone, something is half done, or no branch with an upstream is checked out.
    """
    if not shutil.which("git"):
        raise UpdateError("git is not installed: install it, and update again.")
    if (root / ".git").exists():
        top = Path(_line(root, "rev-parse", "--show-toplevel"))
    if not (root / ".git").exists() or not top.samefile(root):
        raise UpdateError(
            f"{root} is no clone of the workbook but a copy, such as a downloaded archive, which git cannot update.\n"
            "Clone the workbook, or download it anew, into another folder, and take your own notebooks over by hand."
        )
    folder = Path(_line(root, "rev-parse", "--absolute-git-dir"))
    if any((folder / name).exists() for name in UNFINISHED) or _git(root, "ls-files", "--unmerged"):
        raise UpdateError(
            "a merge, or the like, is not finished here: `git status` says how to finish or abort it. "
            f"{UNCHANGED} Then update again."
        )
    try:
        branch = _line(root, "symbolic-ref", "--short", "HEAD")
    except UpdateError:
        raise UpdateError(
            f"no branch is checked out here (a detached HEAD): `git switch main` takes the branch main. {UNCHANGED}\n"
            "Commits that were made here belong to no branch; `git branch my-work` gives them one first."
        ) from None
    try:
        _git(root, "rev-parse", "--verify", "@{upstream}")
    except UpdateError:
        raise UpdateError(
            f"the branch {branch} follows no branch of another repository, so there is no newest version of it. "
            f"{UNCHANGED}\nIf it is to follow main: git branch --set-upstream-to=origin/main"
        ) from None
    return branch


def _fetch(root, branch):
    remote = _line(root, "config", f"branch.{branch}.remote")
    try:
        _git(root, "fetch", "--quiet", remote)
    except UpdateError as error:
        words = str(error).partition("\n")[2]
        raise UpdateError(
            f"{remote} cannot be reached. {UNCHANGED} Update again when you are online.\n{words}"
        ) from None


def _is_ancestor(root, older, newer):
    return _line(root, "rev-list", "--count", f"{newer}..{older}") == "0"


def _joined(root, head, newest, upstream):
    """A commit that merges `newest` into `head`. It is made in a folder of its own, and no branch knows it yet.

    Raises:
        UpdateError: both have changed the same places.
    """
    with tempfile.TemporaryDirectory(prefix="workbook-update-") as folder:
        aside = Path(folder) / "merge"
        try:
            _git(root, "worktree", "add", "--quiet", "--detach", str(aside), head, hooks=False)
            text = f"Merge the newest version of the workbook, {newest[:7]}"
            _git(aside, "merge", "--quiet", "--no-ff", "--no-gpg-sign", "-m", text, newest, hooks=False)
            return _line(aside, "rev-parse", "HEAD")
        except UpdateError as error:
            both = _names(aside, "diff", "--name-only", "-z", "--diff-filter=U") if aside.exists() else []
            if not both:
                raise UpdateError(f"your commits and the update could not be joined. {error}") from None
            base = _line(root, "merge-base", head, newest)
            raise UpdateError(
                f"your commits and the update have changed the same places of\n{_listed(both)}\n{UNCHANGED} "
                f"Either join them by hand:\n    git merge {upstream}\nor keep your commits as the branch my-work, "
                f"make plain changes of them, and update again:\n    git branch my-work\n    git reset {base[:12]}"
            ) from None
        finally:
            with contextlib.suppress(UpdateError):
                _git(root, "worktree", "remove", "--force", str(aside))


# --- what is the reader's -------------------------------------------------------------------------------------------


def _changed(root):
    """Tracked files that differ from the last commit: {path: git's two letters for the index and the folder}."""
    entries = _names(root, "status", "--porcelain", "-z", "--no-renames", "--untracked-files=no")
    return {entry[3:]: entry[:2] for entry in entries}


def _touched(root, head, target):
    """Files that the update changes: {path: A (added), D (deleted), M or T}."""
    parts = _names(root, "diff-tree", "-r", "-z", "--no-renames", "--name-status", head, target)
    return dict(zip(parts[1::2], parts[::2], strict=True))


def _in_the_way(root, path, touched):
    """What stands untracked, or ignored by git, where the update puts a new file: the file itself, another one in place
    of one of its folders, or a folder with files in its own place. None if nothing does.
    """
    for folder in [*Path(path).parents][:-1]:
        if (root / folder).is_symlink() or ((root / folder).is_file() and folder.as_posix() not in touched):
            return folder.as_posix()
    place = root / path
    if place.is_dir() and not place.is_symlink():
        files = (file.relative_to(root).as_posix() for file in place.rglob("*") if not file.is_dir())
        return None if all(file in touched for file in files) else path
    return path if os.path.lexists(place) else None


def _own_versions(root, path, target):
    """Contents of a file, in the folder and as staged, that neither the last commit nor the update has."""
    found = [(root / path).read_bytes() if (root / path).is_file() else None, _content(root, f":{path}")]
    known = {_content(root, f"HEAD:{path}"), _content(root, f"{target}:{path}"), None}
    return [data for data in dict.fromkeys(found) if data not in known]


def _keep(root, notebooks, target, day):
    """Keep the reader's versions of these notebooks: [(path, kept file)].

    Raises:
        UpdateError: they cannot be written; none is left there then.
    """
    kept = []
    try:
        for path in notebooks:
            kept += [(path, keep(root, path, data, day)) for data in _own_versions(root, path, target)]
    except (OSError, CheckpointError) as error:
        _forget(kept)
        raise UpdateError(f"your notebooks could not be kept in {MINE}/: {error}. {UNCHANGED}") from None
    return kept


def _forget(kept):
    for _, place in kept:
        with contextlib.suppress(OSError):
            place.unlink()


# --- the update -----------------------------------------------------------------------------------------------------


def update(root=ROOT, day=None):
    """Bring a clone to the newest version of its branch's upstream.

    Notebooks that only the reader has changed stay as they are, and so does every other changed file that the update
    does not touch. Deleted notebooks come back. Commits of the reader's own are merged if that is possible without a
    conflict.

    Args:
        root: folder of the clone. day: stands in the names of kept notebooks (default: today, as 2026-11-28).

    Returns:
        What has happened, as text.

    Raises:
        UpdateError: the update is not possible; everything is as before.
    """
    root = Path(root).resolve()
    day = day or datetime.date.today().isoformat()
    branch = _branch_to_update(root)
    _fetch(root, branch)
    head, newest = (_line(root, "rev-parse", "--verify", name) for name in ("HEAD", "@{upstream}"))
    upstream = _line(root, "rev-parse", "--abbrev-ref", "@{upstream}")
    if _is_ancestor(root, newest, head):
        target = head
    else:
        target = newest if _is_ancestor(root, head, newest) else _joined(root, head, newest, upstream)

    changed, touched = _changed(root), _touched(root, head, target)
    new = [path for path, kind in touched.items() if kind == "A" and path not in changed]
    blocking = {path: name for path in new if (name := _in_the_way(root, path, touched))}
    both = [path for path in touched if path in changed or path in blocking]
    _refuse_to_overwrite(root, both, blocking, target)
    deleted = [path for path in changed if NOTEBOOK.fullmatch(path) and not os.path.lexists(root / path)]
    replaced = {*both, *deleted}
    kept = _keep(root, [path for path in sorted(replaced) if NOTEBOOK.fullmatch(path)], target, day)
    _take(root, target, replaced, kept)

    back = [path for path in deleted if (root / path).exists()]
    stay = sorted({*changed} - replaced)
    return _told(root, (head, newest, target, upstream), touched, kept, back, stay)


def _refuse_to_overwrite(root, both, blocking, target):
    """Raise UpdateError if the update would overwrite something of the reader's that is no notebook."""
    names = {blocking[path] for path in both if path in blocking and not _may_go(root, path, blocking[path], target)}
    if names:
        raise UpdateError(
            f"the update brings new files to where files of yours stand:\n{_listed(sorted(names))}\n{UNCHANGED} "
            "Move them to another place, and update again."
        )
    names = [path for path in both if path not in blocking and not _may_go(root, path, path, target)]
    if names:
        arguments = " ".join(f'"{name}"' if " " in name else name for name in names)
        raise UpdateError(
            f"you and the update have both changed\n{_listed(names)}\n{UNCHANGED} Either keep your changes in a "
            f'commit, which is then merged:\n    git commit -m "My changes" -- {arguments}\nor copy these files to '
            f"another place, take back the changes, and update again:\n    git checkout HEAD -- {arguments}"
        )


def _may_go(root, path, name, target):
    """Whether what stands at a path may be replaced: a notebook, which is kept, or nothing that would be lost."""
    if name != path or (root / path).is_dir():
        return False
    plain = not (root / path).is_symlink()
    return plain and (bool(NOTEBOOK.fullmatch(path)) or not _own_versions(root, path, target))


def _take(root, target, paths, kept):
    """Put the files at `paths` back to the last commit and move the branch to `target`; if that fails, undo it.

    Raises:
        UpdateError: git could not do it; the files are as before.
    """
    before = {path: (root / path).read_bytes() if (root / path).is_file() else None for path in paths}
    committed = [path for path in sorted(paths) if _content(root, f"HEAD:{path}") is not None]
    try:
        if committed:
            _git(root, "checkout", "HEAD", "--", *committed)
        if added := sorted(paths - {*committed}):
            _git(root, "rm", "--cached", "--force", "--quiet", "--ignore-unmatch", "--", *added)
        for path in added:
            (root / path).unlink()
        _git(root, "merge", "--quiet", "--ff-only", target)
    except (UpdateError, OSError) as error:
        for path, data in before.items():
            if data is None:
                (root / path).unlink(missing_ok=True)
            else:
                write_atomically(root / path, data)
        _forget(kept)
        raise UpdateError(str(error)) from None


# --- what is said ---------------------------------------------------------------------------------------------------


def _listed(lines):
    return "\n".join(f"    {line}" for line in lines)


def _told(root, commits, touched, kept, back, stay):
    head, newest, target, upstream = commits
    if target == head:
        said = [f"Nothing new: this is the newest version of {upstream} ({newest[:7]})."]
    else:
        count = int(_line(root, "rev-list", "--count", f"{head}..{newest}"))
        said = [f"Updated to the newest version of {upstream} ({newest[:7]}): {count} new commit{'s' * (count != 1)}."]
    if target not in (head, newest):
        said.append("Your own commits are joined with it by a merge.")
    if kept:
        lines = [f"{path} → {place.relative_to(root).as_posix()}" for path, place in kept]
        said.append(f"Your versions of notebooks that the update has changed are kept:\n{_listed(lines)}")
        said.append("Where one of them is open in JupyterLab: File, Reload Notebook from Disk.")
    if back:
        said.append(f"These notebooks were deleted and are back:\n{_listed(sorted(back))}")
    if stay:
        said.append(f"These stay as you have changed them, because the update does not touch them:\n{_listed(stay)}")
    if REQUIREMENTS & {*touched}:
        said.append(
            "The needed packages have changed: the next `make` target installs them; without make it is\n"
            "    python -m pip install -r requirements.txt"
        )
    return "\n".join(said)


def main():
    """Update the workbook and say what has happened; returns the exit code."""
    print("Looking for a newer version …", flush=True)
    try:
        print(update())
    except (UpdateError, OSError) as error:
        print(f"No update: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("Stopped; nothing of yours is lost. Update again to finish.", file=sys.stderr)
        return 130
    return 0


if __name__ == "__main__":
    print_anything()
    sys.exit(main())
