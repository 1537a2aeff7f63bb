"""Figures of a planted project: what breaks the plan is counted, what only looks like it is not."""

from __future__ import annotations

import json
from pathlib import Path

from typer.testing import CliRunner

from benchmarks import house

LONG = "def long(a, b, c, d, e, f, *, g):\n" + "    a\n" * 60
PROSE = f"""# {"Heading " * 30}

One two three. {"word " * 26}end.
A link counts as its text: [here](https://example.org/{"long" * 30}).

- An item.
- {"Another " * 24}item.

| {"table " * 40} |

```
{"code " * 40}
```
"""


def plant(root: Path) -> None:
    files = {
        "agent/types.py": "class Note:\n    def keep(self, a, b, c, d, e): ...\n",
        "agent/membership/ridge.py": "import agent.types\n",
        "agent/basin/track.py": "def late():\n    from agent.judging.gold import labels\n",
        "agent/judging/gold.py": LONG + "import agent.basin.track\n",
        "tests/test_one.py": "1\n2\n",
        "benchmarks/speed.py": "1\n",
        "benchmarks/results/speed.json": "12345",
        "README.md": PROSE,
    }
    for name, content in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(content)


def test_what_breaks_the_plan_is_counted(tmp_path):
    plant(tmp_path)
    found = {each.name: each for each in house.measure(tmp_path)}
    numbers = {name: each.found for name, each in found.items()}
    expected = {
        "files": 4,
        "lines": 67,
        "largest file": 62,
        "functions over 60 lines": 1,
        "functions with over 5 positional parameters": 1,
        "imports against the layers": 1,
        "import circles between folders": 1,
        "lines of tests": 2,
        "lines of benchmarks": 1,
        "bytes of results and pictures": 5,
        "sentences over 25 words": 1,
        "prose lines over 100 characters": 2,
    }
    assert {name: numbers[name] for name in expected} == expected
    assert found["imports against the layers"].places == ("agent.basin.track -> agent.judging.gold",)
    assert found["import circles between folders"].places == ("agent.basin, agent.judging",)
    assert found["functions over 60 lines"].places == ("agent/judging/gold.py:1 long (61)",)


def test_figures_are_printed_as_lines_and_as_json(tmp_path):
    plant(tmp_path)
    app = house.typer.Typer()
    app.command()(house.main)
    lines = CliRunner().invoke(app, ["--root", str(tmp_path)])
    assert lines.exit_code == 0 and "agent.basin.track -> agent.judging.gold" in lines.output
    rows = json.loads(CliRunner().invoke(app, ["--root", str(tmp_path), "--json"]).output)
    assert {"name": "files", "found": 4, "plan": 210, "places": []} in rows
