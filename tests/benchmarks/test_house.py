"""Figures of a planted project: what breaks the plan is counted, what only looks like it is not."""

from pathlib import Path

import pytest

from benchmarks import house

LONG = "def long(a, b, c, d, e, f, *, g):\n" + "    a\n" * 60
PROSE = f"""# {"Heading " * 30}

One two three. {"word " * 26}end.
A link counts as its text: [here](https://example.org/{"long" * 30}).

- {"Another " * 24}item.

| {"table " * 40} |
"""


@pytest.fixture
def root(tmp_path) -> Path:
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
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(content)
    return tmp_path


def test_breaches_of_the_plan_are_counted(root):
    found = {each.name: each for each in house.measure(root)}
    expected = {"files": 4, "lines": 67, "largest file": 62, "lines of tests": 2, "lines of benchmarks": 1}
    expected |= {"functions over 60 lines": 1, "functions with over 5 positional parameters": 1}
    expected |= {"imports against the layers": 1, "import circles between folders": 1}
    expected |= {"sentences over 25 words": 1, "prose lines over 100 characters": 2}
    expected |= {"bytes of results and pictures": 5}
    assert {name: found[name].found for name in expected} == expected
    assert found["imports against the layers"].places == ("agent.basin.track -> agent.judging.gold",)
    assert found["import circles between folders"].places == ("agent.basin, agent.judging",)
    assert found["functions over 60 lines"].places == ("agent/judging/gold.py:1 long (61)",)
