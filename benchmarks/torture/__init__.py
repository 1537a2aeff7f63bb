"""Torture: real runs that are killed, starved, hung up on and lied to, and must end as if nothing had been.

`python -m benchmarks.torture` runs all of it (`make torture`). `ground` makes tiny models and a planted corpus, `lives` starts
processes and ends them, `hook` is what runs inside them, `kills` compares bytes, `faults` injects the rest, `soak` and
`overhead` measure.
"""
