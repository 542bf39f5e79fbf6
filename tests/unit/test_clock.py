"""The clock that is passed to the data plane."""

from framelane._native import lib


def test_virtual_clock_stands_still_until_advanced() -> None:
    clock = lib.fl_clock_virtual_new(5, 1_000)
    try:
        assert (lib.fl_clock_nano(clock), lib.fl_clock_epoch(clock)) == (5, 1_000)
        lib.fl_clock_advance(clock, 20)
        assert (lib.fl_clock_nano(clock), lib.fl_clock_epoch(clock)) == (25, 1_020)
    finally:
        lib.fl_clock_virtual_free(clock)
