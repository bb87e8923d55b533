"""What is said about an archive."""

import re

from lib.storage.paths import ROOT
from lib.workbook.submission.sheets import SHEETS
from lib.workbook.submission.summary import feedback_note


def test_the_feedback_form_asks_for_everything():
    text = (ROOT / "feedback.md").read_text("utf-8")
    for question in ("problems", "helpful?", "hours for each exercise", "anything else"):
        assert f"\n## {question}" in text.lower().replace("was it ", ""), question
    numbers = ",".join(SHEETS.values()).split(",")
    note = feedback_note(text, numbers)
    assert note == f"the hours for {', '.join(sorted(numbers))} are not filled in"
    filled = re.sub(r"^(\| (?:01|02) [^|]*\|)", r"\1 5,5", text, flags=re.M)
    assert feedback_note(filled, ["01", "02"]).startswith("filled in")
