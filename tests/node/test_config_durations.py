import pytest
from hypothesis import given
from hypothesis import strategies as st

from node.config.durations import format_duration, parse_duration


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("0", 0.0),
        ("0s", 0.0),
        ("15s", 15.0),
        ("500ms", 0.5),
        ("2m0s", 120.0),
        ("1h30m", 5400.0),
        ("24h0m0s", 86400.0),
        ("1.5s", 1.5),
        (".5s", 0.5),
        ("1.s", 1.0),
        ("10us", 1e-5),
        ("10µs", 1e-5),
        ("7ns", 7e-9),
        ("-2s", -2.0),
        ("+2s", 2.0),
    ],
)
def test_a_duration_is_read_as_go_reads_it(text: str, seconds: float) -> None:
    assert seconds == parse_duration(text)


@pytest.mark.parametrize(
    "text",
    ["", "15", "s", "15 s", "15S", "1d", "fifteen", "1s2", "--1s", "1e3s", "٣s", "9" * 80 + "s"],
)
def test_what_is_not_a_duration_is_refused_with_an_example(text: str) -> None:
    with pytest.raises(ValueError, match=r'e\.g\. "15s"'):
        parse_duration(text)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.0, "0s"),
        (15.0, "15s"),
        (0.5, "500ms"),
        (0.05, "50ms"),
        (120.0, "2m0s"),
        (3600.0, "1h0m0s"),
        (1.5, "1.5s"),
        (1e-5, "10µs"),
        (-2.0, "-2s"),
    ],
)
def test_a_duration_is_written_as_go_writes_it(seconds: float, text: str) -> None:
    assert text == format_duration(seconds)


@given(st.integers(-(10**15), 10**15))
def test_what_is_written_is_read_back(microseconds: int) -> None:
    seconds = microseconds / 10**6
    assert seconds == pytest.approx(parse_duration(format_duration(seconds)), rel=1e-12, abs=1e-9)
