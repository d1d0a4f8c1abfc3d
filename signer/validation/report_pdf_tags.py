"""What a PDF says of its own structure, for those who hear it or take text out of it (ISO 32000-2 §14.7)."""

from typing import Final

from signer.validation.report_pdf_file import Objects

_ROW_HEADER: Final = " /A << /O /Table /Scope /Row >>"


class Element:
    """An element of the structure: it holds others, and marked content by (sheet, number on it)."""

    def __init__(self, kind: str, *, lang: str | None = None) -> None:
        self.kind, self.lang = kind, lang
        self.kids: list[Element | tuple[int, int]] = []

    def below(self, kind: str, *, lang: str | None = None) -> "Element":
        """Add an element under this one."""
        added = Element(kind, lang=lang)
        self.kids.append(added)
        return added


def write_structure(objects: Objects, document: Element, pages: list[int], marks: list[list[Element]]) -> int:
    """Write the tree under `document`; `marks` are the elements of each sheet's marked content. Return the root."""
    root = objects.reserve()
    numbers: dict[int, int] = {}
    top = _write(objects, document, root, pages, numbers)
    parents = []
    for sheet, elements in enumerate(marks):
        owners = " ".join(f"{numbers[id(element)]} 0 R" for element in elements)
        parents.append(f"{sheet} {objects.add(f'[{owners}]')} 0 R")
    tree = objects.add(f"<< /Nums [{' '.join(parents)}] >>")
    said = f"/K {top} 0 R /ParentTree {tree} 0 R /ParentTreeNextKey {len(marks)}"
    objects.put(root, f"<< /Type /StructTreeRoot {said} >>")
    return root


def _write(objects: Objects, element: Element, parent: int, pages: list[int], numbers: dict[int, int]) -> int:
    own = objects.reserve()
    numbers[id(element)] = own
    kids = []
    for kid in element.kids:
        if isinstance(kid, Element):
            kids.append(f"{_write(objects, kid, own, pages, numbers)} 0 R")
        else:
            sheet, mark = kid
            kids.append(f"<< /Type /MCR /Pg {pages[sheet]} 0 R /MCID {mark} >>")
    lang = f" /Lang ({element.lang})" if element.lang else ""
    more = _ROW_HEADER if element.kind == "TH" else ""
    head = f"/Type /StructElem /S /{element.kind} /P {parent} 0 R{lang}{more}"
    return objects.put(own, f"<< {head} /K [{' '.join(kids)}] >>")
