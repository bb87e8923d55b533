"""Who hands in: one to three members, each with a name, a matriculation number and an e-mail address."""

import re
import unicodedata
from dataclasses import dataclass

from lib.workbook.notebooks import UsageError

MAX_MEMBERS = 3


@dataclass(frozen=True)
class Member:
    """One of those who hand in together; `surname` is the part of the name that the files are named after."""

    name: str
    surname: str
    matriculation: str
    email: str


def members(names, matriculations, emails):
    """One to three members from three texts, in each of which semicolons separate the members.

    A name is written "Given names Surname". Its last word is the surname, together with the words in lower case right
    before it ("Ada van der Berg": van der Berg). Any other surname is said by "Surname, Given names".

    Raises:
        UsageError: an entry is missing or malformed, or their numbers differ.
    """
    lists = {
        "NAME": _entries("NAME", names, "Ada Lovelace; Alan Turing"),
        "MATRICULATION": _entries("MATRICULATION", matriculations, "1234567; 1234568"),
        "EMAIL": _entries("EMAIL", emails, "ada@uni.example; alan@uni.example"),
    }
    counts = {variable: len(entries) for variable, entries in lists.items()}
    if len(set(counts.values())) > 1:
        found = ", ".join(f"{count} in {variable}" for variable, count in counts.items())
        raise UsageError(f"every member needs a name, a number and an address, but there are {found}")
    if counts["NAME"] > MAX_MEMBERS:
        raise UsageError(f"{counts['NAME']} members in NAME: at most {MAX_MEMBERS} may hand in together")
    people = [_member(*entries) for entries in zip(*lists.values(), strict=True)]
    for variable, values in (
        ("MATRICULATION", [person.matriculation for person in people]),
        ("EMAIL", [person.email for person in people]),
    ):
        if twice := [value for value in values if values.count(value) > 1]:
            raise UsageError(f"{twice[0]} stands twice in {variable}: every member has one of their own")
    return people


def _entries(variable, text, example):
    text = unicodedata.normalize("NFC", text or "")
    if not text.strip():
        option = f"--{variable.lower()}"
        raise UsageError(
            f'{variable} is missing: add {variable}="{example}" (without make: {option} "…"), one to three members'
        )
    entries = [" ".join(entry.split()) for entry in text.removesuffix(";").split(";")]
    if not all(entries):
        raise UsageError(f'{variable} has an empty place beside a semicolon: {text!r}; write it as "{example}"')
    return entries


def _member(name, matriculation, email):
    last, comma, first = (part.strip() for part in name.partition(","))
    if not all(_is_name(part) for part in ([last, first] if comma else [last])):
        raise UsageError(
            f'NAME: {name!r} is no name: letters, blanks, hyphens, apostrophes and full stops, as in "Ada Lovelace" or '
            '"García Márquez, Gabriel"; semicolons separate members'
        )
    if not re.fullmatch(r"(?=.*\d)[A-Za-z0-9]+(-[A-Za-z0-9]+)*", matriculation) or len(matriculation) > 20:
        raise UsageError(
            f"MATRICULATION: {matriculation!r} is no matriculation number: digits, and letters or hyphens where your "
            "university has them, at most 20"
        )
    if not re.fullmatch(r"[\w.!#$%&'*+/=?^`{}~-]+@\w+([.-]\w+)*", email) or len(email) > 100:
        raise UsageError(f"EMAIL: {email!r} is no e-mail address: write it as ada@uni.example")
    return Member(f"{first} {last}" if comma else last, last if comma else _surname(last), matriculation, email)


def _is_name(text):
    letters = [char for char in text if unicodedata.category(char)[0] in "LM"]
    return bool(letters) and len(text) <= 80 and not set(text) - {*letters, *" -'’."}


def _surname(name):
    words = name.split()
    start = len(words) - 1
    while start > 1 and words[start - 1].islower():
        start -= 1
    return " ".join(words[start:])
