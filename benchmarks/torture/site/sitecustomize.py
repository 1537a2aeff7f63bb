"""Found by Python at its start where this folder is on PYTHONPATH: lets a fresh process be watched, see `hook`."""

import os

if "BASIN_TORTURE" in os.environ:
    from benchmarks.torture.hook import arm_when_ready

    arm_when_ready()
