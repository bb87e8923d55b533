"""Run the notebooks, export them, check them and ship their results: `python -m lib.workbook --help`.

The Makefile calls nothing but this, so that everything also works where there is no make.
"""

import argparse
import sys
from pathlib import Path

from lib.workbook import check, notebooks, run, ship
from lib.workbook.notebooks import PROFILES, UsageError
from lib.workbook.processes import workers

# What brings torch or typesetting along is imported by the one command that needs it: the others answer at once.


def main(arguments=None):
    """Do what the arguments (default: those of the program) ask for; returns the exit code."""
    parser = _parser()
    args, args.arguments = parser.parse_known_args(arguments)
    if args.arguments and args.command != "lab":  # which hands them on
        parser.error(f"unrecognized arguments: {' '.join(args.arguments)}")
    try:
        return args.perform(args)
    except UsageError as error:
        print(error, file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("stopped; what was being trained goes on from its last epoch when this is run again", file=sys.stderr)
        return 130


# --- one function per command: from its arguments to its exit code --------------------------------------------------


def _list(args):
    for path in notebooks.paths(args.only):
        known = notebooks.default_parameters(path)
        print(f"{path.name[:2]}  {notebooks.title(notebooks.read(path))}")
        for name, parameter in known.items():
            print(f"      {name} = {parameter.source}")
    return 0


def _check(args):
    paths = notebooks.paths(args.only)
    check.print_counts(paths)
    found = [f"{path.name}: {problem}" for path in paths for problem in check.problems(path)]
    print("\n".join(found) or f"{len(paths)} notebooks are clean and complete")
    return int(bool(found))


def _run(args):
    paths = notebooks.paths(args.only)
    run.check_format(args.format)
    jobs = [
        {
            "path": path,
            "profile": args.profile,
            "values": notebooks.parameters(path, args.profile, args.retrain, args.parameter),
            "form": args.format,
            "authors": args.author,
            "date": args.date,
            "tries": args.tries,
        }
        for path in paths
    ]
    done = run.run_all(jobs, workers(args.jobs))
    if args.format == "pdf" and args.only is None:
        from lib.workbook import binding

        binding.write_or_remove_whole(paths, complete=len(done) == len(jobs))
    return int(len(done) < len(jobs))


def _train(args):
    from lib.workbook import cells

    paths = notebooks.paths(args.only)
    values = [notebooks.parameters(path, args.profile, args.retrain, args.parameter) for path in paths]
    for path, given in zip(paths, values, strict=True):
        if problem := cells.train(path, args.profile, given):
            print(f"{path.name}: {problem}", file=sys.stderr)
            return 1
    return 0


def _ship(args):
    paths = notebooks.paths(args.only)
    return int(len(ship.ship(paths, workers(args.jobs))) < len(paths))


def _restamp(args):
    from lib.workbook.restamp import restamp

    paths = notebooks.paths(args.only)
    values = [notebooks.parameters(path, "cpu", None, args.parameter) for path in paths]
    return int(restamp(paths, values, args.slow, args.accept) > 0)


def _submission(args):
    from lib.workbook.submission.submit import submit

    people = (args.name, args.matriculation, args.email)
    return int(not submit(args.sheet, *people, args.pdf_name, args.profile, args.date, workers(args.jobs)))


def _export(args):
    if args.target.suffix not in (".pdf", ".html"):
        raise UsageError(f"{args.target} must end in .pdf or .html")
    notebooks.read(args.notebook)
    from lib.workbook.export import ExportError

    try:
        run.export(args.notebook, args.target)
    except Exception as error:  # damaged outputs and pictures raise nearly anything
        reason = str(error) if isinstance(error, (OSError, ExportError)) else f"{type(error).__name__}: {error}"
        raise UsageError(f"{args.target} was not written: {reason}") from error
    return 0


def _site(args):
    from lib.workbook import website

    print(f"the site is {notebooks.short(website.build(args.repository))}")
    return 0


def _student(args):
    from lib.workbook.student import building

    building.make(args.sheet, args.solutions != "no", args.solved)
    return 0


def _progress(args):
    from lib.workbook.student import working

    working.progress()
    return 0


def _grade(args):
    from lib.workbook.student import grading

    if not args.submissions:
        raise UsageError("SUBMISSIONS is missing: add SUBMISSIONS=folder (without make: --submissions folder)")
    grades = grading.grade(args.submissions, args.sandbox or "bubblewrap")
    return int(any(one["problem"] for one in grades.values()))


def _lab(args):
    from lib.workbook.lab import lab

    lab(args.arguments)
    return 0


def _update(args):
    from lib.workbook import update

    return update.main()


# --- what they are given --------------------------------------------------------------------------------------------

SHARED = {  # options that several commands have
    "--only": {"metavar": "01,02", "help": "numbers of the notebooks (default: all)"},
    "--retrain": {"metavar": "1|all", "help": "1: the headline models again; all: the sweeps too"},
    "--parameter": {"action": "append", "default": [], "metavar": "NAME=VALUE", "help": "set a parameter by hand"},
    "--profile": {"default": "cpu", "help": f"one of {', '.join(PROFILES)} (default: cpu)"},
    "--date": {"help": "date for the title page, as text"},
    "--jobs": {"type": int, "default": 0, "help": "notebooks side by side (default: 2 on 2 cores with 12 GB, else 1)"},
}
SHORT = {"--parameter": ["-p"]}


def _parser():
    parser = argparse.ArgumentParser(prog="python -m lib.workbook", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)

    def command(name, perform, text, *shared):
        """A command that `perform` carries out, with the shared options named."""
        own = commands.add_parser(name, help=text)
        own.set_defaults(perform=perform)
        for option in shared:
            own.add_argument(*SHORT.get(option, []), option, **SHARED[option])
        return own

    command("list", _list, "numbers, titles and parameters of the notebooks", "--only")
    command("check", _check, "are the committed notebooks clean and complete?", "--only")

    text = "execute notebooks headless and export them into exports/"
    own = command("run", _run, text, "--only", "--retrain", "--parameter", "--profile", "--date", "--jobs")
    own.add_argument("--format", default="pdf", help="pdf (default), html or none")
    own.add_argument("--author", action="append", default=[], help="name for the title page; may be repeated")
    own.add_argument("--tries", action="store_true", help="also make the changes that the notebooks ask to try")

    text = "the cells of notebooks, without a report: for torchrun, which shares trainings"
    command("train", _train, text, "--only", "--retrain", "--parameter", "--profile")

    command("ship", _ship, "make what was trained the shipped results, keep the outputs", "--only", "--jobs")

    text = "after a change of code that changes no result: replay short probes, keep the shipped results"
    own = command("restamp", _restamp, text, "--only", "--parameter")
    own.add_argument("--slow", action="store_true", help="replay also runs of sweeps that take longer than a minute")
    accept = "results to keep without a replay, because none is possible (wildcards allowed)"
    own.add_argument("--accept", default="", metavar="NAME,…", help=accept)

    text = "run the notebooks of a sheet and pack what is handed in"
    own = command("submission", _submission, text, "--profile", "--date", "--jobs")
    own.add_argument("--sheet", metavar="A|B|C|D|E|all")
    for option, what, example in (
        ("--name", "names", "Ada Lovelace; Alan Turing"),
        ("--matriculation", "matriculation numbers", "1234567; 1234568"),
        ("--email", "e-mail addresses", "ada@uni.example; alan@uni.example"),
    ):
        own.add_argument(option, metavar="A;B;C", help=f'{what} of one to three members: "{example}"')
    own.add_argument("--pdf-name", metavar="NAME.pdf", help="default: Surname-Matriculation.pdf")

    own = command("site", _site, "build a static site of the notebooks in exports/site, from their committed outputs")
    own.add_argument("--repository", default="", metavar="URL", help="on GitHub: adds buttons for Colab and Binder")
    own = command("student", _student, "write the student edition and its nbgrader course into exports/course/")
    own.add_argument("--sheet", metavar="A|B|…|all", help="this sheet only (default: all)")
    own.add_argument("--solutions", default="yes", help="no: leave the archive of solutions out of the edition")
    own.add_argument("--solved", metavar="T2,T3", help="only these solutions are in the archive")

    command("progress", _progress, "points and state of all items of the exercise sheets (make check)")

    own = command("grade", _grade, "grade a folder of hand-ins with nbgrader's gradebook, each item in a box")
    own.add_argument("--submissions", metavar="FOLDER", help="archives or folders, one for each hand-in")
    own.add_argument("--sandbox", help="bubblewrap (default), or none: no isolation")

    command("lab", _lab, "open JupyterLab; options of `jupyter lab` may follow")
    command("update", _update, "take the newest version of the workbook; your notebooks are kept")

    own = command("export", _export, "export an executed notebook, without running it")
    own.add_argument("notebook", type=Path)
    own.add_argument("target", type=Path, help="a file that ends in .pdf or .html")
    return parser
