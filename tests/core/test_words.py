import pytest

from maxentrl.core.words import listed, many


@pytest.mark.parametrize(
    ("count", "words", "said"),
    [
        (1, ("step",), "1 step"),
        (0, ("step",), "0 steps"),
        (2_000_000, ("step",), "2000000 steps"),
        (1.0, ("unit",), "1 unit"),
        (0.5, ("unit",), "0.5 units"),
        (0.0123456789, ("unit",), "0.0123456789 units"),
        (2, ("policy", "policies"), "2 policies"),
    ],
)
def test_so_many_of_something(count, words, said):
    assert many(count, *words) == said


@pytest.mark.parametrize(
    ("words", "said"), [(["a"], "a"), (["a", "b"], "a and b"), (["a", "b", "c"], "a, b and c")]
)
def test_words_are_listed_as_in_a_sentence(words, said):
    assert listed(words) == said
