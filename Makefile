# The front door of the workbook. `make` alone prints this list.

PROFILE ?= cpu
FORMAT  ?= pdf
ONLY    ?=
RETRAIN ?=
REPOSITORY ?=
PYTHON  ?= python3
export PYTHONPATH := $(CURDIR)

# An active conda or virtual environment that satisfies every pin is used as it is; otherwise .venv is made and kept up
# to date.
ifneq ($(VIRTUAL_ENV)$(CONDA_PREFIX),)
  ACTIVE := $(shell python -m lib.workbook.environment >/dev/null 2>&1 && echo yes)
endif
ifeq ($(ACTIVE),yes)
  PY := python
else
  PY := $(if $(wildcard .venv/Scripts),.venv/Scripts/python,.venv/bin/python)
  STAMP := .venv/installed
  SITE := .venv/installed-site
endif

# What is typed reaches Python through the environment, so that neither make nor the shell reads code into it.
# `make -j1 report` runs one notebook at a time; the number of jobs is read from make's own flags, 0 leaves it open.
unexport PROFILE FORMAT ONLY RETRAIN REPOSITORY
export CHOSEN_PROFILE := $(value PROFILE)
export CHOSEN_FORMAT := $(value FORMAT)
export CHOSEN_ONLY := $(value ONLY)
export CHOSEN_RETRAIN := $(value RETRAIN)
export CHOSEN_REPOSITORY := $(value REPOSITORY)
export CHOSEN_JOBS = $(firstword $(patsubst -j%,%,$(filter -j%,$(MAKEFLAGS))) 0)
WHICH = $${CHOSEN_ONLY:+--only "$$CHOSEN_ONLY"}
HOW = --profile "$$CHOSEN_PROFILE" --format "$$CHOSEN_FORMAT" $(WHICH) $${CHOSEN_RETRAIN:+--retrain "$$CHOSEN_RETRAIN"}
JOBS = --jobs "$$CHOSEN_JOBS"

.DEFAULT_GOAL := help
.PHONY: help setup lab update report site submission check student grade test test-system check-notebooks ship cluster cluster-status bench clean

help:  ## print this list
	@echo "make TARGET [PROFILE=cpu|smoke|gpu|gpu-short] [ONLY=01,02] [RETRAIN=1|all] [FORMAT=pdf|html] [TORCH=cpu]"
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  %-17s %s\n", $$1, $$2}' $(firstword $(MAKEFILE_LIST))

setup: $(STAMP)  ## create .venv from requirements.txt (TORCH=cpu: torch without CUDA on Linux)

.venv/installed: requirements.txt pyproject.toml
	@$(PYTHON) -c 'import sys; sys.version_info >= (3, 11) or sys.exit("Python 3.11 or newer is needed, $(PYTHON) is " + sys.version.split()[0] + "; name another one: make setup PYTHON=python3.12")'
	@test -x $(PY) || $(PYTHON) -m venv .venv || { echo "no virtual environment could be made; on Debian and Ubuntu: apt install python3-venv"; exit 1; }
	@echo "Installing the pinned packages into .venv; this takes a few minutes the first time …"
ifeq ($(TORCH),cpu)
	@$(PY) -m pip install --quiet --disable-pip-version-check $$(grep -E '^torch(vision)?==' requirements.txt) --index-url https://download.pytorch.org/whl/cpu
endif
	@$(PY) -m pip install --quiet --disable-pip-version-check -r requirements.txt
	@touch $@

lab: setup  ## open JupyterLab
	@$(PY) -m lib.workbook lab

# Runs with any Python, before what the new version needs is installed; the next target does that.
update:  ## take the newest version; notebooks that you have changed too are kept in notebooks/mine/
	@$(firstword $(wildcard $(PY)) $(PYTHON)) -m lib.workbook.update

report: setup  ## run the notebooks headless and export them into exports/ (make -j1: one at a time)
	@$(PY) -m lib.workbook run $(HOW) $(JOBS)

site: setup $(SITE)  ## build a web book in exports/site (REPOSITORY=https://github.com/OWNER/NAME: buttons for Colab and Binder)
	@$(PY) -m lib.workbook site --repository "$$CHOSEN_REPOSITORY"

.venv/installed-site: requirements-site.txt .venv/installed
	@echo "Installing what the web book needs …"
	@$(PY) -m pip install --quiet --disable-pip-version-check -r requirements-site.txt
	@touch $@

# A NAME or EMAIL that the terminal happens to have is not meant.
given = $(if $(findstring command,$(origin $(1))),$(value $(1)))
unexport SOLUTIONS SOLVED SUBMISSIONS SANDBOX SHEET NAME MATRICULATION EMAIL PDF_NAME
submission: export HAND_IN_SHEET := $(call given,SHEET)
submission: export HAND_IN_NAME := $(call given,NAME)
submission: export HAND_IN_MATRICULATION := $(call given,MATRICULATION)
submission: export HAND_IN_EMAIL := $(call given,EMAIL)
submission: export HAND_IN_PDF_NAME := $(call given,PDF_NAME)
submission: setup  ## hand in: SHEET=A..E|all NAME="Ada Lovelace; Alan Turing" MATRICULATION="…; …" EMAIL="…; …" [PDF_NAME=…]
	@$(PY) -m lib.workbook submission --sheet "$$HAND_IN_SHEET" --name "$$HAND_IN_NAME" \
	  --matriculation "$$HAND_IN_MATRICULATION" --email "$$HAND_IN_EMAIL" --pdf-name "$$HAND_IN_PDF_NAME" \
	  --profile "$$CHOSEN_PROFILE" $(JOBS)

check: setup  ## your points and what is next, item by item
	@$(PY) -m lib.workbook progress

student: export COURSE_SHEET := $(call given,SHEET)
student: export COURSE_SOLUTIONS := $(call given,SOLUTIONS)
student: export COURSE_SOLVED := $(call given,SOLVED)
student: setup  ## the edition that students work in, into exports/course/ [SHEET=B] [SOLUTIONS=no | SOLVED=T2,T3]
	@$(PY) -m lib.workbook student --sheet "$$COURSE_SHEET" --solutions "$$COURSE_SOLUTIONS" --solved "$$COURSE_SOLVED"

grade: export COURSE_SUBMISSIONS := $(call given,SUBMISSIONS)
grade: export COURSE_SANDBOX := $(call given,SANDBOX)
grade: setup  ## grade hand-ins: SUBMISSIONS=folder [SANDBOX=none] (needs bubblewrap; docs/teaching.md)
	@$(PY) -m lib.workbook grade --submissions "$$COURSE_SUBMISSIONS" --sandbox "$$COURSE_SANDBOX"

TOGETHER = -n 2 --dist loadfile
test test-system: export OMP_NUM_THREADS := 1
test: setup  ## unit tests, style, committed notebooks, every notebook with the smoke profile (ONLY=02: what it uses)
	@$(PY) -m pytest $(TOGETHER) $(WHICH)

test-system: setup  ## what needs a browser (chromium), Slurm (slurm-wlm, munge) or bubblewrap; without them it is skipped
	@$(PY) -m pytest $(TOGETHER) -m system tests

check-notebooks: setup  ## the committed notebooks alone: clean, complete, and still giving their outputs
	@$(PY) -m lib.workbook check
	@$(PY) -m pytest notebooks

ship: setup  ## store what was trained as the shipped checkpoints, and the notebooks with their outputs
	@$(PY) -m lib.workbook ship $(JOBS) $(WHICH)

cluster: export CHOSEN_PROFILE := $(if $(filter file,$(origin PROFILE)),gpu,$(value PROFILE))
cluster: setup  ## queue the notebooks on a Slurm cluster, PROFILE=gpu unless told otherwise (cluster/settings.sh)
	@$(PY) -m lib.workbook.cluster submit $(HOW)

cluster-status: setup  ## state, time and node of every notebook of the last `make cluster`
	@$(PY) -m lib.workbook.cluster status

bench: setup  ## our layers' time over torch's, and how soon widgets answer in a browser (ONLY=02: the widgets of 02)
	@$(PY) -m lib.workbook.bench $${CHOSEN_ONLY:+widgets} $(WHICH)

clean:  ## remove what was produced (exports, caches); checkpoints, .venv and a course with its gradebook stay
	test ! -d exports || find exports -mindepth 1 -maxdepth 1 -not -name course -exec rm -rf {} +
	rm -rf .pytest_cache .ruff_cache *.egg-info
	find . -name __pycache__ -not -path './.venv/*' -prune -exec rm -rf {} +
