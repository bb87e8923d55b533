# Read by the batch scripts: settings, folder, and `python`, an array with the command that starts the right Python.
cd "${SLURM_SUBMIT_DIR:-.}"
if [ ! -f cluster/settings.sh ]; then
  echo "submit from the workbook's own folder: $PWD has no cluster/settings.sh" >&2
  exit 2
fi
set -a
. cluster/settings.sh
set +a
export PYTHONPATH="$PWD" PYTHONUNBUFFERED=1 OMP_NUM_THREADS="${SLURM_CPUS_PER_TASK:-1}"
eval "$WORKBOOK_SETUP"
if [ -n "$WORKBOOK_CONTAINER" ]; then
  engine=$(command -v apptainer || command -v singularity) || { echo "neither apptainer nor singularity here" >&2; exit 2; }
  gpu=$(command -v nvidia-smi >/dev/null && echo --nv || true)
  python=("$engine" exec $gpu --bind "$PWD${WORKBOOK_BIND:+,$WORKBOOK_BIND}" --pwd "$PWD" "$WORKBOOK_CONTAINER" python)
elif [ -x .venv/bin/python ]; then
  python=(.venv/bin/python)
else
  python=(python) # an environment that was active when the job was submitted, or WORKBOOK_SETUP's
fi
