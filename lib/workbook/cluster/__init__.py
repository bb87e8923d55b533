"""The workbook on a Slurm cluster: `python -m lib.workbook.cluster submit`, `status`, `summary`; `make cluster` calls
nothing else.

One array task per notebook (`cluster/report.sbatch`), numbered like the notebooks, and a job after them that gathers
the reports. Every task keeps a small file about itself, `exports/cluster/JOB_NUMBER.json`; together with the queue it
tells everything, so that no accounting database is needed. The folder must be seen by all nodes.
"""
