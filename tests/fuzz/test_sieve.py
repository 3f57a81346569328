"""The twin of the fuzzer that always runs: its corpus, and what hypothesis makes of that."""

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.fuzz.sieve_laws import SEPARATOR, obeys_the_laws

CORPUS = sorted((Path(__file__).parent / "corpus" / "sieve").iterdir())
SEEDS = [path.read_bytes() for path in CORPUS]
WORDS = sorted({word for seed in SEEDS for word in seed.split()})


@pytest.mark.parametrize("path", CORPUS, ids=lambda path: path.name)
def test_the_laws_hold_for_the_corpus(path: Path) -> None:
    assert path.stat().st_size <= 4096
    obeys_the_laws(path.read_bytes())


@given(octets=st.binary(max_size=400))
def test_the_laws_hold_for_any_octets(octets: bytes) -> None:
    obeys_the_laws(octets)


@settings(max_examples=400)
@given(
    first=st.sampled_from(SEEDS),
    second=st.sampled_from(SEEDS),
    cut=st.integers(0, 2000),
    begin=st.integers(0, 2000),
    middle=st.one_of(st.just(b""), st.binary(max_size=8), st.sampled_from(WORDS)),
)
def test_the_laws_hold_for_pieces_of_the_corpus_put_together(
    first: bytes, second: bytes, cut: int, begin: int, middle: bytes
) -> None:
    obeys_the_laws(first[:cut] + middle + second[begin:])


@settings(max_examples=400)
@given(seed=st.sampled_from(SEEDS), places=st.lists(st.integers(0, 200), max_size=4), word=st.sampled_from(WORDS))
def test_the_laws_hold_where_words_are_exchanged(seed: bytes, places: list[int], word: bytes) -> None:
    words = seed.split(b" ")
    for place in places:
        words[place % len(words)] = word

    obeys_the_laws(b" ".join(words))


@given(message=st.binary(max_size=400), seed=st.sampled_from(SEEDS))
def test_the_laws_hold_for_any_message(message: bytes, seed: bytes) -> None:
    obeys_the_laws(seed.partition(SEPARATOR)[0] + SEPARATOR + message)
