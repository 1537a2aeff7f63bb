"""Topic words in several languages: umlauts, elisions, other scripts, and names by their capitals."""

from __future__ import annotations

import unicodedata
from itertools import pairwise

import numpy as np
import pytest

from agent.corpora.passages import PassagesConfig, cut, split
from agent.corpora.words import (
    count_words,
    first_words,
    language,
    name_like_words,
    refuse_other_script,
    words_of,
)
from agent.errors import BasinError
from agent.pointer.lda import fit, fit_cached
from agent.pointer.topic_model import TopicsConfig, pick
from agent.types import Document
from loops.report.run_page.passages import responsible_words

GERMAN = {
    "hafen": (
        "Am Morgen lag dichter Nebel über dem Hafen, und die Kutter warteten auf die Flut. Der Fischer flickte seine Netze, "
        "während die Möwen über den Masten schrien. „Heute fahren wir nicht hinaus“, sagte der Kapitän. Die Segel hingen nass "
        "am Mast, und das Ruder knarrte in der Strömung. Erst am Abend kam Wind auf, und die Boote liefen aus dem Hafen aus. "
    ),
    "küche": (
        "In der Küche roch es nach Zimt und frischem Teig. Die Großmutter rührte die Suppe um und schnitt dabei Zwiebeln. "
        "„Der Ofen ist heiß genug“, sagte sie, „schieb das Brot hinein.“ Auf dem Herd dampfte ein Topf mit Äpfeln, und "
        "der Junge durfte den Löffel ablecken. Das Mehl lag wie Schnee auf dem Tisch, und der Teig ging langsam auf. "
    ),
}
FRENCH = {
    "port": (
        "L'homme regardait l'eau grise du port, où les bateaux attendaient la marée. Le pêcheur réparait ses filets, et "
        "l'ancre rouillait sur le quai. « On ne sort pas aujourd'hui », dit le capitaine. Les voiles pendaient au mât, l'écume "
        "battait la coque, et le phare s'allumait déjà. Vers le soir, le vent se leva et les bateaux quittèrent le port. "
    ),
    "cuisine": (
        "Dans la cuisine, l'odeur du pain chaud montait du four. La grand-mère coupait l'oignon et remuait la soupe. « Le four "
        "est prêt », dit-elle, « mets la pâte dedans. » Sur la table, la farine ressemblait à la neige, et l'enfant léchait la "
        "cuillère. Le beurre fondait dans la poêle, et la pâte levait doucement sous le linge. "
    ),
}
RUSSIAN = {
    "порт": (
        "Утром над гаванью стоял туман, и лодки ждали прилива. Рыбак чинил сети, а чайки кричали над мачтами. — Сегодня мы не "
        "выйдем, — сказал капитан. Паруса висели мокрые, волна била в борт, и якорь лежал на причале. К вечеру поднялся ветер, "
        "и лодки ушли в море. "
    ),
    "кухня": (
        "На кухне пахло хлебом и корицей. Бабушка резала лук и мешала суп. — Печь уже горячая, — сказала она, — ставь тесто. "
        "На столе лежала мука, как снег, и мальчик облизывал ложку. Масло таяло на сковороде, а тесто медленно поднималось. "
    ),
}
CORPORA = {"de": GERMAN, "fr": FRENCH, "ru": RUSSIAN}
CHOSEN = {
    "de": ("netze", "kutter", "möwen"),
    "fr": ("filets", "ancre", "phare"),
    "ru": ("сети", "якорь", "лодки"),
}


def documents(code: str) -> list[Document]:
    """Twelve documents that take turns in the two themes, their sentences in another order each."""
    found = []
    for at in range(12):
        text = list(CORPORA[code].values())[at % 2]
        sentences = text.split(". ")
        order = np.random.default_rng(at).permutation(len(sentences) - 1)
        found.append(Document(f"{code}{at}", ". ".join(sentences[place] for place in order) * 2 + "."))
    return found


@pytest.mark.parametrize("code", CORPORA)
def test_topics_of_a_corpus_that_is_not_english(code: str) -> None:
    config = TopicsConfig(
        count=2, chunk_words=50, passes=20, minimum_chunks=2, words=CHOSEN[code], language=code
    )
    config = config.model_copy(update={"maximum_chunk_share": 0.8})
    model = fit(documents(code), config, 1)
    assert model.language == code
    pointer = pick(model, config)
    assert set(pointer.holds(CHOSEN[code])) == set(CHOSEN[code])
    weights = pointer.weights([document.text for document in documents(code)])
    assert weights[::2].min() > 0.7 and weights[1::2].max() < 0.3
    assert not set(model.vocabulary) & {"und", "der", "les", "dans", "она", "над", "auf"}


@pytest.mark.parametrize("code", CORPORA)
def test_passages_end_where_sentences_do_in_every_script(code: str) -> None:
    text = documents(code)[0].text
    passages = cut(text, 25)
    assert len(passages) > 2 and " ".join(passages).split() == text.split()
    assert all(passage.rstrip()[-1] in ".”“»" for passage in passages)
    assert len(split(documents(code), PassagesConfig(words=25, minimum_words=10)).documents) >= 10


def test_an_elided_article_does_not_hide_the_word_behind_it() -> None:
    assert words_of("L'homme et l’écume d'aujourd'hui", "fr") == ["homme", "écume", "aujourd", "hui"]
    assert words_of("l'homme", "en") == []
    assert words_of("п'ятниця м’ячів", "uk") == ["п'ятниця", "м'ячів"]


def test_marks_belong_to_their_letters_however_they_are_written() -> None:
    apart = unicodedata.normalize("NFD", "möwen über Zürich")
    assert words_of(apart, "de") == words_of("möwen über Zürich", "de") == ["möwen", "zürich"]
    assert words_of("हिन्दी भाषा", "und") == ["हिन्दी", "भाषा"]
    assert words_of("IŞIK ışık İSTANBUL istanbul", "tr") == ["ışık", "ışık", "istanbul", "istanbul"]


def test_names_have_capitals_where_nouns_have_none() -> None:
    russian = ["Потом Иван ушёл. Лампа и Иван стояли там. Вот лампа, и там Иван."]
    assert name_like_words(russian, 0.5, "ru") == {"иван"}
    german = ["Dann ging der Fischer. Das Netz und der Fischer blieben. Im Netz lag ein Fisch."]
    assert name_like_words(german, 0.5, "de") == set()
    assert name_like_words(german, 0.5, "en") >= {"fischer", "netz"}
    assert name_like_words(["« Paris », dit-elle. — Marie aime Paris, Marie vit à Paris."], 0.5, "fr") == {
        "paris",
        "marie",
    }


def test_unknown_languages() -> None:
    assert not language("la").is_listed and language("la").words_of("Gallia est omnis divisa") != []
    with pytest.raises(ValueError, match="language"):
        TopicsConfig(language="german")


def test_a_model_remembers_its_language_in_the_cache_and_on_the_page(tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("BASIN_CACHE", str(tmp_path))
    config = TopicsConfig(
        count=2, chunk_words=50, passes=5, minimum_chunks=2, words=CHOSEN["fr"], language="fr"
    )
    first, again = (fit_cached(documents("fr"), config, 1) for _ in range(2))
    assert first.language == again.language == "fr"
    (spans,) = responsible_words(pick(again, config), ["Sur le quai, l'ancre."], least=0.0)
    assert "ancre" in ["Sur le quai, l'ancre."[begin:end] for begin, end, _ in spans]


def test_english_words_are_lower_case_without_stop_words_and_endings():
    assert words_of("The Detective’s dog's bone didn't go to 2 oxen, a-hunting!") == [
        *("detective", "dog", "bone", "oxen", "hunting")
    ]


def test_english_names_have_capitals_inside_sentences():
    texts = [
        "Then Watson spoke. Watson’s hat fell; the lamp and Watson stood. “Lamp oil,” said he.",
        "Evening came. Evening went. A Lamp is the lamp. The Sea, the sea, the SEA!",
    ]
    assert name_like_words(texts, 0.5) == {"watson", "sea"}
    assert name_like_words(texts, 0.7) == {"watson"}


CHINESE = {
    "案": "侦探走进了房间。他发现了凶手的指纹！警察问道：你看见谋杀了吗？法官审问证人，警察逮捕凶手。侦探寻找谋杀的证据。",
    "海": "水手走上了甲板。船长看见了灯塔！海浪拍打着船帆，暴风雨来临。水手收起船锚，船长望着海浪。灯塔照亮港口的甲板。",
}


def unspaced(texts: dict[str, str], count: int = 12) -> list[Document]:
    found = []
    for at in range(count):
        sentences = list(texts.values())[at % 2].split("。")[:-1]
        order = np.random.default_rng(at).permutation(len(sentences))
        found.append(Document(f"d{at}", "。".join(sentences[place] for place in order) + f"。第{at}号。"))
    return found


def test_chinese_is_cut_at_sentences_and_read_in_pairs() -> None:
    text = CHINESE["案"]
    assert count_words(text) == 26 and count_words("two words, 中国") == 3
    passages = cut(text, 10)
    assert (
        "".join(passages) == text
        and all(passage[-1] in "。！？" for passage in passages)
        and len(passages) == 3
    )
    assert first_words(text, 3) == "侦探走进了房" and first_words("a  b\nc", 2) == "a b"
    assert words_of("警察问DNA证据", "zh") == ["警察", "察问", "dna", "证据"]
    assert words_of("刑事はコンピューターを調べた", "ja") == ["刑事", "コンピューター"]
    config = TopicsConfig(count=2, chunk_words=50, minimum_chunks=2, words=("谋杀", "侦探"), language="zh")
    model = fit(unspaced(CHINESE), config, 1)
    pointer = pick(model, config)
    assert set(pointer.holds(("谋杀", "侦探", "逮捕火车", "逮捕凶手"))) == {"谋杀", "侦探", "逮捕凶手"}
    weights = pointer.weights([document.text for document in unspaced(CHINESE)])
    assert weights[::2].min() > 0.7 and weights[1::2].max() < 0.3
    (spans,) = responsible_words(pointer, ["侦探寻找谋杀"], least=0.0)
    assert ["侦探寻找谋杀"[begin:end] for begin, end, _ in spans][0] == "侦探"
    assert all(one[1] <= other[0] for one, other in pairwise(spans))


def test_a_script_that_the_language_does_not_read_is_named_with_a_remedy_that_works() -> None:
    texts = [document.text for document in unspaced(CHINESE)]
    with pytest.raises(BasinError, match="set it to zh"):
        refuse_other_script(texts, "en")
    refuse_other_script(texts, "zh")
    refuse_other_script(["An English text that quotes 侦探."], "en")
    thai = ["ตำรวจสืบสวนคดีฆาตกรรมและพบหลักฐานสำคัญในบ้านของผู้ต้องสงสัย" * 5, "นักสืบพบมีดในบ้านของผู้ต้องสงสัยเมื่อคืนนี้" * 5]
    with pytest.raises(BasinError, match="segmenter, such as PyThaiNLP"):
        split(
            [Document(str(at), text) for at, text in enumerate(thai)],
            PassagesConfig(words=10, minimum_words=5),
        )
    words = "ตำรวจ สืบสวน คดี ฆาตกรรม และ พบ หลักฐาน"
    for gap in (" ", "\u200b"):
        spaced = [Document(str(at), gap.join([words.replace(" ", gap)] * 5) + f" {at}") for at in range(2)]
        assert len(split(spaced, PassagesConfig(words=10, minimum_words=5)).passages) == 5  # without repeats
        assert words_of(spaced[0].text, "th")[:3] == ["ตำรวจ", "สืบสวน", "คดี"]
