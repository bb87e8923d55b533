"""`python -m lib.workbook.cluster submit`, `status`, `summary`, `task`."""

import argparse
import sys

from lib.workbook import cluster
from lib.workbook.cluster import records
from lib.workbook.cluster.states import states, summary, table
from lib.workbook.cluster.submit import submit
from lib.workbook.cluster.task import task
from lib.workbook.notebooks import PROFILES, UsageError


def main(arguments=None):
    """Do what the arguments (default: those of the program) ask for; returns the exit code."""
    args = _parser().parse_args(arguments)
    try:
        return args.perform(args)
    except UsageError as error:
        print(error, file=sys.stderr)
        return 2


def _submit(args):
    submit(args.profile, args.only, args.retrain, args.format)
    return 0


def _status(args):
    job = _job(args)
    print(f"Job {job}\n{table(states(job))}")
    return 0


def _summary(args):
    return int(any(line["state"] != "done" for line in summary(_job(args))))


def _task(args):
    return task(args.number)


def _job(args):
    """The array job that is asked about: by default the last one."""
    job = args.job or (records.jobs() or [None])[-1]
    if job is None:
        raise UsageError("nothing was submitted from here yet: make cluster")
    return job


def _parser():
    parser = argparse.ArgumentParser(prog="python -m lib.workbook.cluster", description=cluster.__doc__)
    commands = parser.add_subparsers(dest="command", required=True)

    def command(name, perform, text):
        own = commands.add_parser(name, help=text)
        own.set_defaults(perform=perform)
        return own

    own = command("submit", _submit, "queue the notebooks; settings: cluster/settings.sh")
    own.add_argument("--only", metavar="01,02", help="numbers of the notebooks (default: all)")
    own.add_argument("--profile", default="gpu", help=f"one of {', '.join(PROFILES)} (default: gpu)")
    own.add_argument("--retrain", metavar="1|all", help="1: train the headline models again; all: sweeps too")
    own.add_argument("--format", default="pdf", help="pdf (default), html or none")
    for own in (
        command("status", _status, "state, time, node of every notebook"),
        command("summary", _summary, "gather the reports too"),
    ):
        own.add_argument("job", nargs="?", help="array job (default: the last one)")
    command("task", _task, "what cluster/report.sbatch calls").add_argument("number", type=int)
    return parser


if __name__ == "__main__":
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(errors="replace")  # a name that a terminal's encoding lacks ends no task
    sys.exit(main())
