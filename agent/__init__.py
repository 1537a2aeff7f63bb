"""The parts of a concept learner: sources, pointer, language model, re-clustering, updates, tracking, judging."""
