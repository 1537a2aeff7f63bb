"""Small whole files of binary formats, to be damaged."""

import io
import tempfile
import zipfile
from pathlib import Path

import gguf
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import safetensors.numpy

from agent.steering.control_vector import write_out

PACKAGE = """<package><metadata><title>T</title></metadata><manifest><item id="a" href="one.xhtml" media-type="text/html"/>
<item id="b" href="../two.html"/></manifest><spine><itemref idref="a"/></spine></package>"""
PAGE = b"<html><head><title>A &amp; B</title></head><body><h1>One</h1><p>Two <b>three</b></p></body></html>"


def parquet_tables() -> tuple[bytes, ...]:
    """Parquet files of plain, nested and odd columns."""
    texts = pa.array(["A text of words.", "Another text.", "B" * 3000])
    when, tags = pa.array([2**62] * 3).view(pa.timestamp("us")), pa.array([["x", None]] * 3)
    table, sinks = pa.table({"text": texts, "tags": tags, "a.b": when}), [io.BytesIO() for _ in range(2)]
    pq.write_table(table, sinks[0], use_dictionary=False)
    pq.write_table(table, sinks[1], compression="zstd", row_group_size=1)
    return tuple(sink.getvalue() for sink in sinks)


def epub_book() -> bytes:
    with zipfile.ZipFile(sink := io.BytesIO(), "w") as archive:
        archive.writestr("META-INF/container.xml", '<c><rootfile full-path="p.opf"/></c>')
        archive.writestr("p.opf", PACKAGE)
        archive.writestr("one.xhtml", PAGE)
    return sink.getvalue()


def control_vector() -> bytes:
    with tempfile.NamedTemporaryFile() as file:
        writer = gguf.GGUFWriter(file.name, "controlvector")
        writer.add_string("controlvector.model_hint", "llama")
        writer.add_tensor("direction.1", np.full(6, 0.5, np.float32))
        write_out(writer)
        return Path(file.name).read_bytes()


def topic_tensors() -> bytes:
    arrays = {"topic_word": np.full((2, 2), 60.0), "alpha": np.array([0.1, 0.3])}
    return safetensors.numpy.save(
        arrays, metadata={"vocabulary": '["murder", "ship"]', "seed": "0", "language": "en"}
    )
