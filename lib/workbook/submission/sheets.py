"""What is handed in together: the sheets and their notebooks."""

from lib.workbook.notebooks import UsageError

SHEETS = {"A": "01", "B": "02,03", "C": "04,05", "D": "06,07,08", "E": "09,10"}  # numbers of the notebooks


def notebooks_of(sheet, found):
    """Paths of the notebooks of a sheet ("A" … "E" or "all"), of those found (number → path).

    Raises:
        UsageError: there is no such sheet, or some of its notebooks are missing.
    """
    letter = (sheet or "").strip().upper()
    numbers = ",".join(SHEETS.values()) if letter == "ALL" else SHEETS.get(letter)
    known = "; ".join(f"{letter}: {numbers.replace(',', ', ')}" for letter, numbers in SHEETS.items())
    if not letter:
        raise UsageError(
            f"SHEET is missing: add SHEET=A … E or SHEET=all (without make: --sheet A); their notebooks: {known}"
        )
    if numbers is None:
        raise UsageError(f"there is no sheet {sheet!r}: the sheets are {', '.join(SHEETS)} and all ({known})")
    numbers = numbers.split(",")
    if missing := [number for number in numbers if number not in found]:
        complete = [letter for letter, numbers in SHEETS.items() if set(numbers.split(",")) <= set(found)]
        raise UsageError(
            f"SHEET={sheet.strip()} cannot be handed in, notebook {', '.join(missing)} is missing from the folder "
            f"notebooks: bring it back (git checkout notebooks); complete here: {', '.join(complete) or 'no sheet'}"
        )
    return [found[number] for number in numbers]
