"""Web pages and EPUB books, made of odd parts from a source of chance."""

from __future__ import annotations

import io
import random
import zipfile

# fmt: off
MARKUP = (
    "<p>", "</p>", "<div", ">", "<b>", "text ", "<br/>", "<title>", "</title>", "<title/>", "<script>", "</script>", "<nav>",
    "</nav>", "<!--", "-->", "<![CDATA[", "]]>", "&amp;", "&#x1b;", "&#xD800;", "&bad", "<a href='x", "'>", "<?xml ?>",
    '<meta charset="utf-16">', '<meta charset="latin-1">', "<svg/>", "\n", "é", "\x85", "<!", "</", "<pre>", "<body>", "\u2028",
)
# fmt: on


def web_page(draw: random.Random) -> bytes:
    """Tags, comments, references and text in any order."""
    return "".join(draw.choices(MARKUP, k=draw.randrange(40))).encode(
        draw.choice(("utf-8", "utf-8", "utf-8", "cp1252", "utf-16")), "replace"
    )


def epub_file(draw: random.Random) -> bytes:
    """A book whose parts are named, packed and described in odd ways, or damaged."""
    pages = [
        draw.choice(("one.xhtml", "two.html", "../out.xhtml", "a b.xhtml", "/abs.xhtml", ""))
        for _ in range(3)
    ]
    kinds = ("application/xhtml+xml", "text/html", "x")
    items = "".join(
        f'<item id="{draw.choice("abc")}" href="{name}" media-type="{draw.choice(kinds)}"/>' for name in pages
    )
    spine = "".join(f'<itemref idref="{draw.choice("abcd")}"/>' for _ in range(draw.randrange(4)))
    package = f"<package><metadata><title>T</title></metadata><manifest>{items}</manifest><spine>{spine}</spine></package>"
    if draw.random() < 0.3:
        package = '<!DOCTYPE p [<!ENTITY a "&a;"><!ENTITY s SYSTEM "file:///etc/passwd">]>' + package.replace(
            "T", "&s;&a;"
        )
    parts = {"META-INF/container.xml": '<c><rootfile full-path="p.opf"/></c>', "p.opf": package}
    parts |= {name: web_page(draw) for name in pages if name and draw.random() < 0.9}
    if draw.random() < 0.2:
        parts["META-INF/encryption.xml"] = '<e><CipherReference URI="one.xhtml"/></e>'
    if draw.random() < 0.2:
        parts["big.xhtml"] = bytes(1 << 20)
    sink = io.BytesIO()
    with zipfile.ZipFile(sink, "w") as bundle:
        for name, content in parts.items():
            kind = draw.choice(
                (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA)
            )
            bundle.writestr(
                zipfile.ZipInfo(name), content, kind if draw.random() < 0.2 else zipfile.ZIP_STORED
            )
    return sink.getvalue()
