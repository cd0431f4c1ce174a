"""Settings: which source wins, and errors that name the field and the place."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest

from taskgrid.errors import UsageError
from taskgrid.loading import load
from taskgrid.settings import GridSettings, MasterSettings, WorkerSettings


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Give each test a current folder and a configuration folder of its own, and no variables."""
    import os

    for name in [name for name in os.environ if name.startswith("TASKGRID_")]:
        monkeypatch.delenv(name)
    (tmp_path / "config" / "taskgrid").mkdir(parents=True)
    (tmp_path / "here").mkdir()
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.chdir(tmp_path / "here")
    return tmp_path


def _user(home: Path, text: str) -> None:
    (home / "config" / "taskgrid" / "taskgrid.toml").write_text(text)


def test_the_nearest_source_wins(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A flag, else the environment, else the folder's file, else the user's file, else the default."""
    assert load(MasterSettings).port == 7117
    _user(home, "[master]\nport = 1\nbeat = '2s'\nhost = 'a'\njournal = 'u'")
    Path("taskgrid.toml").write_text("[master]\nport = 2\nbeat = '3s'\nhost = 'b'")
    monkeypatch.setenv("TASKGRID_PORT", "3")
    monkeypatch.setenv("TASKGRID_BEAT", "4s")
    got = load(MasterSettings, {"port": 5, "host": None})
    assert (got.port, got.beat, got.host, got.journal) == (5, timedelta(seconds=4), "b", "u")


def test_a_program_has_its_own_table(home: Path) -> None:
    """What stands above the tables is for all programs that have such a setting, a table for one."""
    _user(home, "server = ['m1', 'm2']\n[worker]\nserver = ['m3']\n[master]\nport = 9")
    assert load(GridSettings).server == ("m1", "m2")
    assert load(WorkerSettings).server == ("m3",)
    assert load(MasterSettings).port == 9


def test_the_environment_speaks_lists_durations_and_sizes(monkeypatch: pytest.MonkeyPatch) -> None:
    """A variable is text: commas make a list, `1m30s` a duration, `2GiB` a size."""
    monkeypatch.setenv("TASKGRID_SERVER", "a, b:12")
    monkeypatch.setenv("TASKGRID_PATH", "/x:/y")
    monkeypatch.setenv("TASKGRID_DRAIN_TIMEOUT", "1m30s")
    monkeypatch.setenv("TASKGRID_MEMORY_LIMIT", "2GiB")
    got = load(WorkerSettings)
    assert got.server == ("a", "b:12")
    assert got.path == (Path("/x"), Path("/y"))
    assert got.drain_timeout == timedelta(seconds=90)
    assert got.memory_limit == 2 << 30


def test_a_bare_number_is_seconds() -> None:
    """`--lease 45` is forty-five seconds."""
    assert load(MasterSettings, {"lease": "45"}).lease == timedelta(seconds=45)


def test_errors_name_the_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever set the wrong value is pointed at it."""
    monkeypatch.setenv("TASKGRID_PORT", "70000")
    with pytest.raises(UsageError, match="TASKGRID_PORT can't be '70000'") as refused:
        load(MasterSettings)
    assert "65535" in refused.value.why


def test_errors_name_the_flag() -> None:
    """A flag is named as it was typed."""
    with pytest.raises(UsageError, match="--retention can't be '7x'"):
        load(MasterSettings, {"retention": "7x"})
    with pytest.raises(UsageError, match="--drain-timeout can't be"):
        load(WorkerSettings, {"drain_timeout": "soon"})


def test_errors_name_the_file_and_its_table() -> None:
    """A value from a file is named with the file and the table."""
    Path("taskgrid.toml").write_text("[worker]\nslots = 0")
    with pytest.raises(UsageError, match=r"slots in taskgrid.toml \[worker\] can't be 0"):
        load(WorkerSettings)


def test_a_lower_source_is_not_blamed(monkeypatch: pytest.MonkeyPatch) -> None:
    """The place named is the one whose value was taken."""
    Path("taskgrid.toml").write_text("[worker]\nslots = 4")
    monkeypatch.setenv("TASKGRID_SLOTS", "0")
    with pytest.raises(UsageError, match="TASKGRID_SLOTS"):
        load(WorkerSettings)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[worker]\nslot = 4", "'slots'"),
        ("slotz = 4", "'slots'"),
        ("[workers]\nslots = 4", "'worker'"),
        ("worker = 4", "there is no setting"),
        ("[worker", "can't be read"),
    ],
)
def test_a_slip_in_a_file_is_told(text: str, said: str) -> None:
    """An unknown name is refused, with what was probably meant."""
    Path("taskgrid.toml").write_text(text)
    with pytest.raises(UsageError) as refused:
        load(WorkerSettings)
    assert said in str(refused.value)
    assert "taskgrid.toml" in refused.value.message


def test_settings_that_contradict_each_other_are_told() -> None:
    """A claim over two fields is told in its own words."""
    with pytest.raises(UsageError) as refused:
        load(MasterSettings, {"beat": "20s"})
    assert "three beats" in refused.value.why


def test_a_grid_reads_what_the_commands_read() -> None:
    """`Grid()` in a folder with a `taskgrid.toml` needs no argument; what it is given wins."""
    from taskgrid.client.grid import _settings

    Path("taskgrid.toml").write_text("server = ['a:1']\n[grid]\nwindow = 50\nreconnect_for = '3s'")
    found = _settings((), None, {})
    assert (found.server, found.window, found.reconnect_for) == (("a:1",), 50, timedelta(seconds=3))
    given = _settings(("b:2",), None, {"window": 60})
    assert (given.server, given.window, given.reconnect_for) == (("b:2",), 60, timedelta(seconds=3))
