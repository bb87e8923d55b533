# What the cluster is asked for, for each notebook. Change it here, or by environment variables of the same names, which
# win: `WORKBOOK_PARTITION=gpu WORKBOOK_TIME=04:00:00 make cluster`. Empty: the cluster's own default.

: "${WORKBOOK_PARTITION=}"        # sinfo lists them
: "${WORKBOOK_ACCOUNT=}"          # the project that pays
if [ "${PROFILE:-gpu}" = gpu ]; then
  : "${WORKBOOK_GRES=gpu:1}"      # one GPU; or, for example, gpu:a100:1
else
  : "${WORKBOOK_GRES=}"           # the other profiles need none
fi
: "${WORKBOOK_CPUS=4}"            # processor cores
: "${WORKBOOK_MEMORY=16G}"        # main memory
: "${WORKBOOK_TIME=08:00:00}"     # limit of one stretch: a notebook that needs longer is stopped, queued again, resumed
: "${WORKBOOK_WARNING=120}"       # seconds before that limit at which it is told to stop
: "${WORKBOOK_RESTARTS=20}"       # how often a notebook may be queued again before it counts as failed
: "${WORKBOOK_AT_ONCE=}"          # at most so many notebooks at a time
: "${WORKBOOK_OPTIONS=}"          # further options of sbatch, for example --qos=low --constraint=a100
: "${WORKBOOK_SETUP=}"            # shell commands before Python, for example: module load python/3.12
: "${WORKBOOK_CONTAINER=}"        # an Apptainer image (cluster/container.def) to run in, instead of .venv
: "${WORKBOOK_BIND=}"             # folders outside the workbook that the container should see: /scratch,/data
