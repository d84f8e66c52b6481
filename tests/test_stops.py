"""A sample keeps back tokens that may be the beginning of a stop text, and no others."""

from hypothesis import given
from hypothesis import strategies as st

from lstmgen.generation.sampler import Ending

letters = st.text("ab", min_size=1, max_size=5)


@given(text=st.text("ab", max_size=40), stops=st.lists(letters, max_size=3))
def test_all_tokens_before_the_first_stop_text_come_out_and_no_part_of_it(text: str, stops: list[str]) -> None:
    ending: Ending[str] = Ending(-1, None, stops)
    out, stopped = "", False
    for position, token in enumerate(text):
        released, finish_reason = ending.add(ord(token), token)
        out, stopped = out + "".join(released), finish_reason is not None
        if stopped:
            read = text[: position + 1]
            break
        kept = text[len(out) : position + 1]
        assert any(stop.startswith(kept) for stop in stops) or kept == ""
    if stopped:
        longest = max((stop for stop in stops if read.endswith(stop)), key=len)
        assert out == read.removesuffix(longest)
        assert not any(stop in read[:-1] for stop in stops)
    else:
        assert out + "".join(ending.kept) == text
        assert not any(stop in text for stop in stops)
