"""Events that anyone can cause do not fill the log."""

from bot.log_config import LogThrottle


def test_first_event_is_due_and_then_one_line_each_interval() -> None:
    times = iter([0.0, 1.0, 59.0, 60.0, 61.0])
    throttle = LogThrottle(lambda: next(times))

    assert [throttle.count() for _ in range(5)] == [1, 0, 0, 3, 0]
