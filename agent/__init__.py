"""The parts of a concept learner: sources, pointer, language model, re-clustering, updates, tracking, judging."""

import os

if "OMP_WAIT_POLICY" not in os.environ:
    # Read by GNU's OpenMP as torch is loaded. Threads that wait for one another spin for a millisecond by default, and where
    # others use the cores, the one that is waited for cannot run meanwhile: reading then is ten times slower, not twice.
    os.environ.setdefault("GOMP_SPINCOUNT", "10000")
    # The same for the threads of numpy and scipy: 2 to this power of a processor's cycles, 26 by default.
    os.environ.setdefault("OPENBLAS_THREAD_TIMEOUT", "16")
