"""Who is accepted as those who hand in, and what is refused with its remedy."""

import re
import unicodedata

import pytest

from lib.workbook.notebooks import UsageError
from lib.workbook.submission.file_names import file_stem
from lib.workbook.submission.members import members

TWO = {
    "names": "Ada Lovelace; Alan Turing",
    "matriculations": "123; 456",
    "emails": "ada@uni.example; alan@uni.example",
}


def test_members():
    ada, alan = members(**TWO)
    assert (ada.name, ada.matriculation, ada.email) == ("Ada Lovelace", "123", "ada@uni.example")
    assert (alan.name, alan.surname) == ("Alan Turing", "Turing")
    assert members(" Ada   Lovelace ;", " 123;", "ada@uni.example ;") == [ada], (
        "blanks and a last semicolon mean nothing"
    )


@pytest.mark.parametrize(
    ("name", "shown", "surname", "stem"),
    [
        ("Ada Lovelace", "Ada Lovelace", "Lovelace", "Lovelace"),
        ("Ada Müller-Lüdenscheidt", "Ada Müller-Lüdenscheidt", "Müller-Lüdenscheidt", "Mueller-Luedenscheidt"),
        ("Jan van der Berg", "Jan van der Berg", "van der Berg", "van-der-Berg"),
        ("Ludwig A. von Weiß", "Ludwig A. von Weiß", "von Weiß", "von-Weiss"),
        ("García Márquez, Gabriel", "Gabriel García Márquez", "García Márquez", "Garcia-Marquez"),
        ("Seán O'Brien", "Seán O'Brien", "O'Brien", "OBrien"),
        ("Jean d’Alembert", "Jean d’Alembert", "d’Alembert", "dAlembert"),
        ("Łukasz Øster-Żak", "Łukasz Øster-Żak", "Øster-Żak", "Oster-Zak"),
        ("Suharto", "Suharto", "Suharto", "Suharto"),
        ("ada lovelace", "ada lovelace", "lovelace", "lovelace"),
        ("王, 小明", "小明 王", "王", "王"),
    ],
)
def test_the_surname_and_the_files_named_after_it(name, shown, surname, stem):
    for written in (name, unicodedata.normalize("NFD", name)):  # as macOS may hand it over
        (member,) = members(written, "123", "a@b.example")
        assert (member.name, member.surname, file_stem(member)) == (shown, surname, f"{stem}-123")


REFUSED = [
    ({"names": ""}, 'NAME is missing: add NAME="Ada'),
    ({"names": None}, "NAME is missing"),
    ({"matriculations": "  "}, "MATRICULATION is missing: add MATRICULATION="),
    ({"emails": ""}, "EMAIL is missing: add EMAIL="),
    ({"names": "Ada Lovelace;; Alan Turing"}, "NAME has an empty place beside a semicolon"),
    ({"names": ";"}, "NAME has an empty place"),
    ({"names": "Ada Lovelace"}, "1 in NAME, 2 in MATRICULATION, 2 in EMAIL"),
    ({"names": "A;B;C;D", "matriculations": "1;2;3;4", "emails": "a@x;b@x;c@x;d@x"}, "4 members in NAME: at most 3"),
    ({"names": "Ada; 1234"}, "'1234' is no name"),
    ({"names": "Ada; ../../x"}, "'../../x' is no name"),
    ({"names": "Ada; Alan <b>"}, "'Alan <b>' is no name"),
    ({"names": "Ada; Turing,"}, "'Turing,' is no name"),
    ({"names": "Ada; -"}, "'-' is no name"),
    ({"matriculations": "123; 4/5"}, "'4/5' is no matriculation number"),
    ({"matriculations": "123; abc"}, "'abc' is no matriculation number"),
    ({"matriculations": f"123; {'4' * 21}"}, "at most 20"),
    ({"matriculations": "123; 123"}, "123 stands twice in MATRICULATION"),
    ({"emails": "ada@uni.example; ada@uni.example"}, "ada@uni.example stands twice in EMAIL"),
    ({"emails": "ada@uni.example; alan"}, "'alan' is no e-mail address"),
    ({"emails": "ada@uni.example; a@b@c"}, "'a@b@c' is no e-mail address"),
    ({"emails": "ada@uni.example; Alan <a@b.c>"}, "is no e-mail address"),
]


@pytest.mark.parametrize(("change", "message"), REFUSED)
def test_what_is_missing_or_malformed_is_named_with_its_remedy(change, message):
    with pytest.raises(UsageError, match=re.escape(message)) as caught:
        members(**TWO | change)
    assert "\n" not in str(caught.value), "one line must do"
