"""What is held back may be the beginning of a stop text, and nothing else is."""

from hypothesis import given
from hypothesis import strategies as st

from lstmgen.generation.stops import StopBuffer

letters = st.text("ab", min_size=1, max_size=5)


@given(text=st.text("ab", max_size=40), stops=st.lists(letters, max_size=3))
def test_all_before_the_first_stop_text_comes_out_and_nothing_of_it(text: str, stops: list[str]) -> None:
    held: StopBuffer[str] = StopBuffer(stops)
    out, stopped = "", False
    for position, symbol in enumerate(text):
        released, stopped = held.add(symbol, symbol)
        out += "".join(released)
        if stopped:
            read = text[: position + 1]
            break
        waiting = text[len(out) : position + 1]
        assert any(stop.startswith(waiting) for stop in stops) or waiting == ""
    if stopped:
        longest = max((stop for stop in stops if read.endswith(stop)), key=len)
        assert out == read.removesuffix(longest)
        assert not any(stop in read[:-1] for stop in stops)
    else:
        assert out + "".join(held.rest()) == text
        assert not any(stop in text for stop in stops)
