"""Without matplotlib a run is measured as ever, and says that its picture was not drawn."""

import subprocess
import sys

from loops.monitor.tables import can_draw


def test_a_picture_that_cannot_be_drawn_is_told_with_the_extra(monkeypatch, messages):
    told: list[str] = messages
    assert can_draw("picture.png") and told == []
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    assert not can_draw("picture.png")
    assert len(told) == 1 and "picture.png was not drawn" in told[0] and "basin[plots]" in told[0]


def test_nothing_but_pictures_needs_matplotlib():
    modules = "loops.evaluation.measure, loops.basin_map.evaluate, loops.transfer.evaluate, loops.cli.main"
    modules += ", loops.refine, loops.report.make"
    code = f"import sys\nsys.modules['matplotlib'] = None\nimport {modules}"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
