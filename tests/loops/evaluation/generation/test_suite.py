"""What is written from is read with a sentence for every mistake, and is pointed at as the membership suite points."""

from __future__ import annotations

import pytest
import yaml

from agent.errors import BasinError
from agent.judging.gold import SUITE_GOLD_FILE
from loops.evaluation.generation.suite import WrittenCorpus, load_generation_suite
from loops.evaluation.generation.task import PLAIN, names
from loops.evaluation.membership.suite import load_suite


def entry(**changes):
    concept = {"called": "sea story", "words": ["ship", "sail"]}
    return {
        "name": "mine",
        "corpus": {"source": "stories.jsonl"},
        "concepts": {"sea": concept},
    } | changes


def suite_file(tmp_path, *entries):
    path = tmp_path / "mine.yaml"
    path.write_text(yaml.safe_dump(list(entries)), encoding="utf-8")
    return path


def test_the_suite_that_comes_with_basin_points_as_the_membership_suite_does():
    measured = {corpus.name: corpus for corpus in load_suite()}
    written = load_generation_suite()
    assert written
    for corpus in written:
        theirs, ours = measured[corpus.name], corpus.pointed_at
        for setting in ("corpus", "passages", "topics", "pointer"):
            assert getattr(ours, setting) == getattr(theirs, setting), setting
        for concept, words in ours.concepts.items():
            assert theirs.concepts.get(concept, words) == words


def test_every_concept_has_labels_and_its_words_and_no_prompt_that_is_always_given_names_one():
    gold = yaml.safe_load(SUITE_GOLD_FILE.read_text(encoding="utf-8"))
    for corpus in load_generation_suite():
        source = corpus.corpus.source.rpartition("/")[2]
        labelled = {each["concept"] for each in gold[source]}
        for name, concept in corpus.concepts.items():
            assert name in labelled
            assert all(names(f"of {word}s and", concept) for word in concept.words if len(word) > 2)
            assert names(f"a {concept.called} of", concept)
            assert not names(PLAIN, concept)


def test_a_relative_source_is_taken_from_the_folder_of_the_file(tmp_path):
    (corpus,) = load_generation_suite(suite_file(tmp_path, entry()))
    assert corpus.corpus.source == str(tmp_path / "stories.jsonl")
    assert corpus.contrast == "novel" and corpus.concepts["sea"].called == "sea story"


def test_what_a_person_calls_a_concept_is_no_part_of_what_points_at_it():
    pointed = WrittenCorpus.model_validate(entry()).pointed_at
    assert pointed.concepts == {"sea": ("ship", "sail")}
    assert "sea story" not in pointed.model_dump_json()


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        (entry(pionter="words"), "no setting 0.pionter; the nearest known one is 0.pointer"),
        (entry(concepts={"sea": {"called": "sea story", "words": []}}), "0.concepts.sea.words"),
        (entry(concepts={"sea": {"words": ["ship"]}}), "0.concepts.sea.called is missing"),
        (entry(pointer="oracle"), "0.pointer"),
    ],
)
def test_a_wrong_entry_is_told_in_a_sentence(wrong, said, tmp_path):
    with pytest.raises(BasinError, match=said) as told:
        load_generation_suite(suite_file(tmp_path, wrong))
    assert "mine.yaml" in str(told.value) and "\n" not in str(told.value)
