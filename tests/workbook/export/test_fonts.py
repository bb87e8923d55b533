"""Characters that the fonts of the workbook lack."""

from pieces import code, flat, markdown, pdf, stream

from lib.workbook.export import fonts


def test_documents_in_our_fonts_use_no_others(monkeypatch, capsys):
    cells = markdown("# naïve Łódź Привет ∑ ⟨x⟩ ẞ 𝒜 $\\mathbb{E}$\u200b"), code("x", stream("✓ → █\n"))
    options, run = [], fonts.typst.compile
    monkeypatch.setattr(fonts.typst, "compile", lambda *a, **kw: options.append(kw) or run(*a, **kw))
    assert pdf(*cells) == pdf(*cells) and capsys.readouterr().err == ""
    assert all(kw["ignore_system_fonts"] for kw in options)


def test_characters_that_no_font_has_are_named(monkeypatch, capsys):
    """The machine of this test has no fonts of its own."""
    run = fonts.typst.compile
    monkeypatch.setattr(fonts.typst, "compile", lambda *a, **kw: run(*a, **{**kw, "ignore_system_fonts": True}))
    assert "Ann" in flat(pdf(markdown("# T\n\nな"), code("x", stream("🎉")), authors=["王小明", "Ann"]))
    said = capsys.readouterr().err
    assert "no font of this machine has な 小 明 王 🎉; the PDF shows boxes" in said and said.count("\n") == 1


def test_the_fonts_of_the_machine_help(monkeypatch, capsys):
    """LastResort, which has a box for every character, plays a font of the machine."""
    run = fonts.typst.compile

    def with_font(*args, **kw):
        kw = kw if kw["ignore_system_fonts"] else {**kw, "font_paths": fonts.fonts(), "ignore_system_fonts": True}
        return run(*args, **kw)

    monkeypatch.setattr(fonts.typst, "compile", with_font)
    monkeypatch.setattr(fonts, "OWN", fonts.re.compile("Libertinus|DejaVu"))
    pdf(markdown("王小明"))
    assert capsys.readouterr().err == ""
