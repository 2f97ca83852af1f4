import logging

from cgnnp.runtime import progress as module
from cgnnp.runtime.progress import progress


def test_a_log_gets_a_last_line_and_not_one_for_every_update(caplog):
    with caplog.at_level(logging.INFO, logger="cgnnp"), progress("sample", total=100) as counter:
        for _ in range(100):
            counter.update(1, "5 ns/day")
    assert counter.done == 100
    assert [record.getMessage() for record in caplog.records] == ["sample: 100/100, 5 ns/day, 0 s left"]


def test_the_time_left_counts_only_what_was_done_now(caplog, monkeypatch):
    clock = iter([0.0, 0.0, 30.0, 30.0])
    monkeypatch.setattr(module.time, "monotonic", lambda: next(clock))
    with caplog.at_level(logging.INFO, logger="cgnnp"), progress("fit", total=80, done=50) as counter:
        counter.update(10)  # 10 in 30 s, 20 left
    assert caplog.records[0].getMessage().endswith("60 s left")
    assert caplog.records[0].getMessage().startswith("fit: 60/80")


def test_a_terminal_gets_a_bar_that_is_closed_after_an_error(monkeypatch, capsys):
    monkeypatch.setattr(module.sys.stderr, "isatty", lambda: True, raising=False)
    try:
        with progress("sample", total=10, done=4) as counter:
            counter.update(3, "fast")
            raise KeyboardInterrupt
    except KeyboardInterrupt:
        pass
    assert counter.done == 7
    shown = capsys.readouterr().err
    assert "7/10" in shown
    assert shown.endswith("\n")
