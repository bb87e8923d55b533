"""The look of the printed workbook: Typst code put before every document."""

from pathlib import Path

TEXT_WIDTH, TEXT_HEIGHT = 481.9, 728.5  # pt, A4 with margins of 20 mm
BOX_WIDTH = TEXT_WIDTH - 16.0  # pt, what a line of code may fill
CODE_SIZE, APPENDIX_SIZE = 7.2, 6.4  # pt: 107 characters a line in the text, 120 in the appendix
MONO_ADVANCE = 0.60205  # width of a character of DejaVu Sans Mono, in units of its size
# In code that is about to be set: where a line that is too long goes on, and the arrow that marks its continuation.
LINE_BREAK, CONTINUATION = "\ue000", "\ue001"
FAMILIES = '("Libertinus Serif", "DejaVu Sans")'


def fonts():
    """Folders with fonts: matplotlib ships DejaVu, so that documents look the same on every system."""
    import matplotlib

    return [str(Path(matplotlib.get_data_path(), "fonts", "ttf"))]


PREAMBLE = r"""
#let accent = rgb("#1f4e79")
#let faint = luma(110)
#let running-title = state("running-title", none)
#let own-title-page = state("own-title-page", false)

#set page(
  paper: "a4",
  margin: 20mm,
  header-ascent: 32%,
  header: context if here().page() > 1 {
    set text(size: 8.5pt, fill: faint)
    block(width: 100%, stroke: (bottom: 0.4pt + luma(190)), inset: (bottom: 3.5pt), running-title.final())
  },
  footer: context if here().page() > 1 or not own-title-page.final() {
    set text(size: 9pt, fill: faint)
    align(center, counter(page).display("1 / 1", both: true))
  },
)
#set text(font: FAMILIES, size: 10.5pt, lang: "en")
#set par(justify: true, leading: 0.62em, spacing: 0.95em)
// A heading is set only where three more lines fit below it: their room is part of its block and then given back.
#let room-below-heading = 56pt
#show heading: set text(hyphenate: false)
#show heading: set par(justify: false)
#show heading.where(level: 1): set text(size: 15.5pt, fill: accent)
#show heading.where(level: 2): set text(size: 12.5pt)
#show heading.where(level: 3): set text(size: 11pt)
#show heading: it => {
  let above = if it.level == 1 { 1.9em } else { 1.5em }
  block(above: above, below: 0.75em, breakable: false, sticky: true, { it.body; v(room-below-heading) })
  v(-room-below-heading)
}
#set list(indent: 0.6em, marker: ([•], [–], [·]))
#set enum(indent: 0.6em)
#set terms(hanging-indent: 1.5em)
#set figure(numbering: none, supplement: none)
#set quote(block: true)
#show quote.where(block: true): it => block(
  width: 100%, above: 1.1em, below: 1.1em, inset: (left: 10pt, y: 2pt), stroke: (left: 2pt + luma(200)),
  text(fill: luma(60), it.body))
#show link: it => if type(it.dest) in (str, label) { text(fill: accent, it) } else { it }
#let horizontalrule = block(width: 100%, above: 1.4em, below: 1.4em, line(length: 100%, stroke: 0.4pt + luma(180)))

// Code. A long name in the text may be broken after punctuation.
#show raw: set text(font: "DejaVu Sans Mono")
#show raw.where(block: false): it => {
  set text(size: 1.06em)
  if it.text.len() > 16 {
    show regex("[._/,=(\[-]"): m => m + box()
    it
  } else { it }
}
// Code and printed text: up to 12 lines stay on one page, of more never fewer than five.
#show raw.where(block: true): it => {
  show "LINE_BREAK": linebreak()
  show "CONTINUATION": text(fill: luma(130), "↪ ")
  set text(size: 1.25em) // Typst itself makes code smaller by a fifth
  set par(justify: false, leading: 0.52em, spacing: 0.52em)
  let lines(from, to) = it.lines.slice(from, to).map(line => {
    if line.text.trim() == "" { box(height: 0.73em) } else { line } // an empty line is lost at the end of a paragraph
  }).join(linebreak())
  let together(from, to) = block(breakable: false, spacing: 0.52em, lines(from, to))
  let count = it.lines.len()
  if count <= 12 { together(0, count) } else {
    together(0, 5)
    lines(5, count - 5)
    together(count - 5, count)
  }
}
#let boxes = (
  input: (fill: rgb("#f4f6f9"), radius: 2pt, stroke: (left: 2pt + accent.lighten(55%))),
  listing: (fill: luma(248), radius: 2pt),
  output: (stroke: (left: 2pt + luma(210))),
  warning: (stroke: (left: 2pt + rgb("#d9a441"))),
  error: (stroke: (left: 2pt + rgb("#b3261e")), fill: rgb("#fdf3f2")),
)
// What code has printed stays on one page if it is short, such as a line and the one below it.
#let verbatim(kind, size, lang, code, sticky: false) = block(
  breakable: kind != "output" or code.split("\n").len() > 8,
  width: 100%, inset: (x: 8pt, y: if kind in ("output", "warning") { 3pt } else { 6pt }),
  above: if kind == "output" { 0.8em } else { 1.1em }, below: 1.1em, sticky: sticky, ..boxes.at(kind),
  text(size: size, fill: if kind == "output" { luma(40) } else { black }, raw(code, block: true, lang: lang)))
#let leading(body) = block(sticky: true, spacing: 0.95em, body)
#let note(body) = block(sticky: true, text(size: 8.5pt, style: "italic", fill: faint, body))
#let listing-title(body) = block(sticky: true, below: 0.7em, body)
#let answer-label = block(sticky: true, below: 0.6em,
  text(size: 8.5pt, weight: "bold", fill: accent, tracking: 0.04em, "Answer"))
#let details(body) = block(width: 100%, inset: (left: 10pt, y: 3pt), stroke: (left: 1.2pt + accent.lighten(60%)), body)
#let summary(body) = block(sticky: true, text(weight: "bold", body))

// Formulas: those too wide for the page are scaled or, beyond that, broken over lines.
#show math.equation.where(block: true): set block(above: 1.1em, below: 1.1em)
#show math.equation.where(block: true): it => layout(size => {
  let ratio = size.width / measure(it).width
  if ratio >= 1 or ratio <= 0 { it }
  else if ratio > 0.72 or repr(it.body).contains(regex("linebreak|mat\(|cases\(")) {
    align(center, scale(ratio * 100%, reflow: true, it))
  } else {
    set par(hanging-indent: 2em, leading: 1.3em, justify: false)
    let broken = math.equation(block: false, math.display(it.body))
    block(above: 1.2em, below: 1.2em, inset: (left: 1.5em), align(left, broken))
  }
})
#let texcases(..rows) = math.cases(..rows.pos().map(row => {
  let parts = row.fields().at("children", default: (row,)).split($&$.body)
  $&$.body + parts.map(part => part.join()).join($quad && $.body)
}))
#let tagged(tag, body) = { set math.equation(numbering: _ => "(" + tag + ")"); body }

// Figures and tables. The number is the notebook's.
#let caption(label, body) = block(width: 94%, align(center, block(align(left, {
  set text(size: 9.3pt)
  set par(leading: 0.55em)
  strong(label)
  h(0.35em)
  body
}))))
#let picture(..args) = block(width: 100%, above: 1.1em, below: 1.1em, align(center, image(..args)))
// They stand where the notebook has them. Where much of the page is left, but too little for one, the text goes on, and
// it stands at the top of the next page: `in-place` holds the numbers of the others, which `placing.py` finds out.
// A table that fills most of a page stays in its place and breaks where the page ends.
#let page-filling = 0.75 * TEXT_HEIGHT
#let (in-place, floats) = (state("in-place", ()), counter("floats"))
// The label of an answer stays with a figure in its place, else with the text that goes on.
#let floating(body, answer: false) = {
  floats.step()
  context {
    let (number, gap, line-gap) = (floats.get().first(), 1.5em.to-absolute(), par.spacing.to-absolute())
    let whole = block(
      width: 100%, breakable: false, above: gap - line-gap, below: gap, body + [#metadata(number)<stands>])
    let label = if answer { answer-label }
    let height = measure(width: TEXT_WIDTH, label + whole).height + gap
    // What stands where a figure leaves its place; the paragraphs around it keep their distance.
    block(height: 0pt, above: line-gap, below: 0pt)[#metadata((number, height.pt()))<called>]
    if number in in-place.get() { label + whole } else { place(top, float: true, clearance: gap, whole) + label }
  }
}
#let numbered-figure(label, body, text, answer: false) = floating(answer: answer, {
  set align(center)
  block(below: 0.8em, body)
  caption(label, text)
})
#let numbered-table(label, body, text, answer: false) = context {
  let whole = {
    block(width: 100%, sticky: true, below: 0.8em, align(center, caption(label, text)))
    body
  }
  if measure(width: TEXT_WIDTH, whole).height <= page-filling { floating(whole, answer: answer) } else {
    if answer { answer-label }
    block(width: 100%, above: 1.3em, below: 1.5em, whole)
  }
}
#let data-table(size, widths, header-rows, head, body) = {
  set text(size: size, hyphenate: false)
  set par(justify: false, leading: 0.5em, spacing: 0.5em)
  set table.cell(breakable: false)
  show table.cell: it => if it.y < header-rows { strong(it) } else { it }
  let rule(width) = table.hline(stroke: width + black, end: widths.len())
  let head = if head.len() == 0 { (rule(0.8pt),) } else { (table.header(rule(0.8pt), ..head, rule(0.4pt)),) }
  let whole = table(
    columns: widths + (0pt,), // the last column holds rows together
    stroke: none, inset: (x: 0.55em, y: 0.36em), ..head, ..body, rule(0.8pt))
  context block(
    width: 100%, above: 1.1em, below: 1.1em, breakable: measure(width: TEXT_WIDTH, whole).height > page-filling,
    align(center, whole))
}
// The end of a row of a table, and of the first of `rows` rows that stay on one page.
#let row-end = table.cell(inset: 0pt)[]
#let rows-end(rows) = table.cell(inset: 0pt, rowspan: rows)[]

#let facts(pairs) = {
  set text(size: 9pt)
  grid(columns: (auto, 1fr), column-gutter: 1.2em, row-gutter: 0.55em,
    ..pairs.map(((name, value)) => (text(fill: faint, name), value)).flatten())
}
#let contents(depth, reading) = {
  show outline.entry: set block(spacing: 0.7em)
  show outline.entry: it => {
    let (minutes, deeper) = reading.at(str(it.element.at("label", default: "")), default: (none, false))
    link(it.element.location(), it.indented(none, {
      if deeper { text(style: "italic", weight: "regular", fill: faint, it.body() + [ (deeper)]) } else { it.body() }
      box(width: 1fr, inset: (x: 0.4em), it.fill)
      if minutes != none { text(size: 9pt, weight: "regular", fill: faint, minutes) }
      box(width: 2em, align(right, it.page()))
    }))
  }
  show outline.entry.where(level: 1): set text(weight: "medium")
  show outline.entry.where(level: 2): set text(size: 9.8pt)
  text(size: 12pt, weight: "bold", fill: accent, "Contents")
  v(0.3em)
  outline(title: none, depth: depth)
}
#let title-block(over, authors, date, pairs, depth, reading, own-page, title, subtitle) = {
  running-title.update(title)
  own-title-page.update(own-page)
  set par(justify: false)
  if own-page { v(24mm) }
  if over != none { block(below: 12pt, text(size: 11pt, fill: accent, tracking: 0.08em, upper(over))) }
  block(below: 17pt, text(size: if own-page { 27pt } else { 21pt }, weight: "bold", hyphenate: false, title))
  if subtitle != none { block(below: 15pt, text(size: 13.5pt, style: "italic", fill: luma(60), subtitle)) }
  if authors.len() > 0 { block(below: 9pt, text(size: 11.5pt, authors.join(", "))) }
  if date != none { block(below: 9pt, text(size: 10.5pt, fill: faint, date)) }
  block(above: 14pt, below: 20pt, line(length: 100%, stroke: 1.2pt + accent))
  if depth > 0 { contents(depth, reading) }
  if pairs.len() > 0 {
    if own-page { v(1fr); block(breakable: false, above: 2em, facts(pairs)) } else { block(facts(pairs)); v(0.8em) }
  }
  if own-page { pagebreak() }
}

// After the text: entries of the glossary, and the appendix from a page of its own.
#let glossary-entry(term, body) = block(breakable: false, spacing: 0.75em, {
  set text(size: 9.8pt)
  par(hanging-indent: 1.5em, strong(term) + h(0.7em) + body)
})
#let appendix = {
  pagebreak(weak: true)
  [#metadata(none)<appendix>]
  heading(level: 1)[Code of the figures]
}
#let code-heading(body) = heading(level: 2, outlined: false, bookmarked: true, body)
"""
for name, value in {
    "FAMILIES": FAMILIES,
    "LINE_BREAK": LINE_BREAK,
    "CONTINUATION": CONTINUATION,
    "TEXT_WIDTH": f"{TEXT_WIDTH}pt",
    "TEXT_HEIGHT": f"{TEXT_HEIGHT}pt",
}.items():
    PREAMBLE = PREAMBLE.replace(name, value)
