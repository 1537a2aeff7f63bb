"""The generated corpus is one: documents of different words, read as any other."""

from agent.corpora.load import CorpusConfig, load_corpus
from benchmarks import streaming


def test_a_generated_file_is_a_corpus(tmp_path, monkeypatch):
    monkeypatch.setattr(streaming, "WORDS", 3000)
    monkeypatch.setattr(streaming, "DOCUMENTS_AT_ONCE", 5)
    path = tmp_path / "corpus.jsonl"
    count = streaming.generate(path, 40_000)
    documents = load_corpus(CorpusConfig(source=str(path)))
    assert len(documents) == count >= 5 and len({each.text for each in documents}) == count
    assert len({streaming._word(number) for number in range(3000)}) == 3000
    found = streaming.stage("sample", path)
    assert found["found"] == count and found["peak_mb"] >= found["before_mb"] > 10
