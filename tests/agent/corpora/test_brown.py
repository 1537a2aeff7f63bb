"""Brown: tagged tokens become running text."""

import re

import pytest

from agent.corpora import brown
from agent.corpora.brown import brown_files, read_contents, restore


def tagged(text: str) -> str:
    return " ".join(f"{token}/x" for token in text.split())


@pytest.mark.parametrize(
    ("tokens", "printed"),
    [
        ("`` Hold it '' .", '"Hold it."'),
        ("`` Where '' ? ?", '"Where?"'),
        ("`` Go '' , he said .", '"Go," he said.'),
        ("He ran ; ; she fell , ( quite slowly ) down .", "He ran; she fell, (quite slowly) down."),
        ("`` It's ' See Joe , see Jim ' '' , he says .", "\"It's 'See Joe, see Jim,'\" he says."),
        ("The boys' bus -- a wreck -- stopped .", "The boys' bus--a wreck--stopped."),
        ("She called it `` Eloise '' ; ; nobody laughed .", 'She called it "Eloise"; nobody laughed.'),
        ("Half of 1/2 and/or a 1/4'' bolt at 43*0C .", 'Half of 1/2 and/or a 1/4" bolt at 43°C.'),
        ("At nine p.m. . ", "At nine p.m."),
        ("He met `` Fox Jr. '' .", 'He met "Fox Jr."'),
        ("`` Stop '' ! ! he cried .", '"Stop!" he cried.'),
        ("From 1960 - 1962 , 3 / minute .", "From 1960-1962, 3/minute."),
        ("You can't , he 'd'n't say '61 .", "You can't, he 'd'n't say '61."),
    ],
)
def test_spacing_quotes_and_stops(tokens, printed):
    assert restore(tagged(tokens)) == printed


def test_tags_are_removed_from_words_with_slashes():
    assert restore("\tHe/pps and/or/cc she/pps won't/md* sleep/vb 1/2/cd mile/nn ./.") == (
        "He and/or she won't sleep 1/2 mile."
    )


def test_paragraphs_are_blocks_and_headlines_stand_alone():
    text = (
        "News/nn-hl today/nr-hl\n\n\n\tOne/cd came/vbd ./.\nTwo/cd went/vbd ./.\n\n\n\tAll/x slept/vbd ./.\n"
    )
    assert restore(text) == "News today\n\nOne came. Two went.\n\nAll slept."


def test_an_ellipsis_returns_where_prose_breaks_off():
    broken = "\t" + tagged("He had seen it . He still hoped that she") + "\n\n\t" + tagged("`` No '' .")
    assert restore(broken) == 'He had seen it. He still hoped that she...\n\n"No."'
    assert restore(tagged("A list of things to do")) == "A list of things to do"


def test_a_quotation_opened_at_the_end_of_a_paragraph_moves_to_its_own():
    text = "\t" + tagged("He wrote : ``") + "\n\n\t" + tagged("All is well '' .")
    assert restore(text) == 'He wrote:\n\n"All is well."'


def test_titles_and_authors():
    contents = (
        "LIST OF TEXTS\n\nA01. The Atlanta Constitution\n\tUsed by permission\n\n"
        "A02. The Dallas Morning News, February 17,1961,section 1\n\n"
        "E02. Organic Gardening, January, 1961\n\n"
        "K09. Howard Fast, April Morning.\n\n"
        "K04. W. E. B. DuBois, Worlds of Color.\n\tNew York: Mainstream\n\n"
        'L10. A. B. Smith &amp; Co., "The Night,"\n\tManhunt, 9: 4\n'
    )
    assert read_contents(contents) == {
        "ca01": ("The Atlanta Constitution", ""),
        "ca02": ("The Dallas Morning News", ""),
        "ce02": ("Organic Gardening", ""),
        "ck09": ("April Morning", "Howard Fast"),
        "ck04": ("Worlds of Color", "W. E. B. DuBois"),
        "cl10": ("The Night", "A. B. Smith & Co."),
    }


@pytest.mark.weights
def test_the_corpus_reads_like_text():
    samples = list(brown_files("ae" + brown.FICTION))
    assert len(samples) == 44 + 36 + 126
    fiction = [sample for sample in samples if sample[0][1] in brown.FICTION]
    assert len(fiction) == 126
    assert all(title and author for _, _, title, author in fiction)
    words = sum(len(text.split()) for _, text, _, _ in fiction)
    assert 245_000 < words < 260_000
    for name, text, _, _ in samples:
        assert "``" not in text and "''" not in text, name
        assert not re.search(r"[a-z] [,;?!)]", text), name
        assert not re.search(r"([,;:?!])\1", text), name
        assert not re.search(r"/(?:at|jj|nn|np|ppss|vbd)\b", text), name
    unbalanced = [
        paragraph for _, text, _, _ in fiction for paragraph in text.split("\n\n") if paragraph.count('"') % 2
    ]
    assert len(unbalanced) < 80  # quotations that run over several paragraphs
