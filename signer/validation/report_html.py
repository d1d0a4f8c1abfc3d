"""A report as one HTML page that stands alone, in Persian and then in English.

Everything from the file is escaped and isolated; there is no script, and nothing is fetched.
"""

from html import escape
from typing import Final

from signer.validation.names import visible
from signer.validation.report import ReportedFile
from signer.validation.report_page import (
    Banner,
    Fold,
    Heading,
    Language,
    Line,
    Page,
    Paragraph,
    Part,
    Row,
    Rows,
    Span,
    Way,
)
from signer.validation.report_story import tell
from signer.validation.verdict import FileVerdict

_STYLE: Final = """
:root{color-scheme:light dark;font-family:Vazirmatn,"Noto Sans Arabic",Tahoma,sans-serif;line-height:1.7}
body{max-width:56rem;margin:1.5rem auto;padding:0 1rem}
article+article{margin-top:4rem;border-top:.25rem double}
h1{font-size:1.5rem}h2{font-size:1.25rem;margin-top:2.5rem;border-bottom:1px solid #8888}
h3{font-size:1.05rem;margin:1.5rem 0 .25rem}h4,h5,h6{font-size:.95rem;margin:1.25rem 0 .25rem}
.verdict{border-inline-start:.5rem solid;padding:.5rem 1rem;border-radius:.25rem;background:#8881;margin:.75rem 0}
.verdict p{margin:.1rem 0}.verdict p:first-child{font-size:1.15rem}
.TOTAL-PASSED{border-color:#1b7f3b}.TOTAL-FAILED{border-color:#b3261e}.INDETERMINATE{border-color:#9a6700}
table{border-collapse:collapse;width:100%}
th,td{text-align:start;vertical-align:top;padding:.35rem .5rem;border-top:1px solid #8884}
th{width:13rem;font-weight:600;overflow-wrap:anywhere}td p{margin:0}
code{font-size:.9em}code,bdi,h4,h5,h6{overflow-wrap:anywhere}
summary{cursor:pointer;font-weight:600;margin-top:1rem}summary :is(h2,h3,h4){display:inline;border:0;font-size:1.05rem}
a{color:inherit}
@media(max-width:40rem){th,td{display:block;width:auto;padding:.2rem 0}td{border:0;padding-bottom:.5rem}}
@media print{body{max-width:none;margin:0}article+article{break-before:page;border:0}a[href="#en"]{display:none}}
"""


def report_html(verdict: FileVerdict, file: ReportedFile) -> str:
    """Write the report on one file; the same verdict gives the same page."""
    title = escape(visible(file.name))
    pages = "".join(_page(tell(verdict, file, language)) for language in Language)
    return (
        f'<!doctype html>\n<html lang="fa" dir="rtl"><head><meta charset="utf-8"><title>{title}</title>'
        f'<meta name="viewport" content="width=device-width"><style>{_STYLE}</style></head>'
        f'<body><p><a href="#en" lang="en">English</a></p><main>{pages}</main></body></html>\n'
    )


def _page(page: Page) -> str:
    way = "rtl" if page.language is Language.FA else "ltr"
    return (
        f'<article id="{page.language}" lang="{page.language}" dir="{way}">{"".join(map(_part, page.parts))}</article>'
    )


def _part(part: Part) -> str:
    match part:
        case Heading():
            return f"<h{part.level}>{_line(part.line)}</h{part.level}>"
        case Banner():
            lines = "".join(f"<p>{_line(line)}</p>" for line in part.lines)
            return f'<div class="verdict {part.indication}">{lines}</div>'
        case Paragraph():
            return f"<p>{_line(part.line)}</p>"
        case Rows():
            return f"<table>{''.join(map(_row, part.rows))}</table>"
        case Fold():
            inside = "".join(map(_part, part.parts))
            return f"<details><summary>{_part(part.heading)}</summary>{inside}</details>"


def _row(row: Row) -> str:
    values = "".join(f"<p>{_line(line)}</p>" for line in row.values)
    return f'<tr><th scope="row">{_line(row.label)}</th><td>{values}</td></tr>'


def _line(line: Line) -> str:
    return "".join(map(_span, line))


def _span(span: Span) -> str:
    text = escape(span.text)
    match span.way:
        case Way.CODE:
            text = f'<bdi dir="ltr"><code>{text}</code></bdi>'
        case Way.STRANGER:
            text = f"<bdi>{text}</bdi>"
    return f"<strong>{text}</strong>" if span.strong else text
