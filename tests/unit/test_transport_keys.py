"""Keys as files and as text, what each may do, and the memory of masters."""

from __future__ import annotations

from pathlib import Path

import pytest

from taskgrid.errors import UsageError
from taskgrid.transport.handshake import derive
from taskgrid.transport.key_table import KeyTable
from taskgrid.transport.keys import ROLE_KEYS, format_key, make_key_files, new_key, parse_key, read_key, save_key
from taskgrid.transport.known import find_master, known_masters, remember
from taskgrid.transport.protocol import Role
from taskgrid.transport.rotation import add_key, list_keys, revoke_key


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Give each test a user's configuration of its own."""
    for name in ("TASKGRID_SERVER", "TASKGRID_KEY_FILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    return tmp_path / "taskgrid"


def test_key_is_read_as_it_was_written() -> None:
    """One line, with or without what a paste adds around it."""
    key = new_key()
    assert parse_key(f"  {format_key(key)}\n") == key
    assert len(key) == 32


def test_mispasted_key_is_told_at_once() -> None:
    """A changed, cut or foreign text is no key, and is not repeated in the error."""
    text = format_key(new_key())
    swapped = text[:20] + ("A" if text[20] != "A" else "B") + text[21:]
    for wrong in (swapped, text[:-1], text + "A", text.upper(), "", "secret", "taskgrid:" + "é" * 48):
        with pytest.raises(UsageError) as caught:
            parse_key(wrong)
        assert not wrong or wrong not in str(caught.value)


def test_key_files_are_made_once_and_for_their_owner_only(home: Path) -> None:
    """All four exist from the first start, are never replaced, and nobody else can read them."""
    first = make_key_files(home)
    before = {path.name: path.read_text() for path in home.iterdir()}
    assert sorted(before) == sorted(["taskgrid.key", *ROLE_KEYS])
    assert len(set(before.values())) == 4
    assert {path.stat().st_mode & 0o777 for path in home.iterdir()} == {0o600}
    assert home.stat().st_mode & 0o777 == 0o700
    assert make_key_files(home) == first
    assert {path.name: path.read_text() for path in home.iterdir()} == before


def test_key_file_that_others_can_read_is_refused_with_the_command_that_helps(home: Path) -> None:
    """A key that leaked is no key."""
    first = make_key_files(home)
    first.chmod(0o640)
    with pytest.raises(UsageError, match=f"chmod 600 {first}"):
        read_key(first)


def test_key_file_that_is_missing_or_holds_none_is_told_by_its_path(home: Path) -> None:
    """Errors name the file."""
    with pytest.raises(UsageError, match=str(home)):
        read_key(home / "no.key")
    save_key(home / "some.key", new_key())
    (home / "some.key").write_text("rubbish")
    with pytest.raises(UsageError, match=r"some\.key holds no key"):
        read_key(home / "some.key")


def test_table_finds_each_key_with_its_roles_and_no_other(home: Path) -> None:
    """The first key carries all roles, each of the others its own."""
    first = make_key_files(home)
    table = KeyTable.load(home)
    said = b"both hellos"

    def roles_of(key: bytes) -> frozenset[Role] | None:
        found = table.find(derive(key, said).client_proof, lambda known: derive(known, said).client_proof)
        return found and found.roles

    assert roles_of(read_key(first)) == frozenset(Role)
    assert {name: roles_of(read_key(home / name)) for name in ROLE_KEYS} == ROLE_KEYS
    assert roles_of(new_key()) is None
    assert table.folder == KeyTable.load(first).folder == home


def _opens(table: KeyTable, key: bytes) -> bool:
    said = b"both hellos"
    return table.find(derive(key, said).client_proof, lambda known: derive(known, said).client_proof) is not None


def test_role_has_two_live_keys_at_most_and_one_can_be_changed_for_the_other(home: Path) -> None:
    """The second is made while the first still opens the door; a third has to wait until one is revoked."""
    first = make_key_files(home)
    table = KeyTable.load(first)
    old = read_key(home / "worker.key")
    fact = add_key(first, Role.WORKER)
    assert (fact.name, fact.roles, fact.file.stat().st_mode & 0o777) == ("worker-2", (Role.WORKER,), 0o600)
    assert _opens(table, read_key(fact.file))
    assert _opens(table, old)
    with pytest.raises(UsageError, match="taskgrid key revoke worker,"):
        add_key(first, Role.WORKER)
    revoke_key(first, "worker")
    table.reread()
    assert not _opens(table, old)
    assert _opens(table, read_key(fact.file))
    assert add_key(first, Role.WORKER).name == "worker-3"


def test_revoked_key_does_not_come_back_at_the_next_start(home: Path) -> None:
    """A start makes keys for roles that have none, and no other."""
    first = make_key_files(home)
    add_key(first, Role.CLIENT)
    revoke_key(first, "client")
    make_key_files(home)
    assert [fact.name for fact in list_keys(first)] == ["taskgrid", "client-2", "operator", "worker"]


def test_first_key_is_replaced_and_never_absent(home: Path) -> None:
    """Revoking it puts another in its place, which carries all roles too."""
    first = make_key_files(home)
    table, old = KeyTable.load(first), read_key(first)
    assert revoke_key(first, "taskgrid") == first
    assert _opens(table, read_key(first))
    assert not _opens(table, old)
    first.unlink()
    table.reread()
    assert table.holds(table._entries[0])


def test_unknown_name_is_refused_with_those_there_are(home: Path) -> None:
    """No name leads out of the folder, and nothing is removed by mistake."""
    first = make_key_files(home)
    (home / "masters.json").write_text("{}")
    for name in ("nobody", "../worker", "masters.json", "", "stock"):
        with pytest.raises(UsageError, match="there are taskgrid, client, operator, worker"):
            revoke_key(first, name)
    assert len(list(home.iterdir())) == 5


def test_key_file_that_can_no_longer_be_read_keeps_its_key_and_is_logged_once(
    home: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """A slip of the hand throws no worker out; removing the file does."""
    first = make_key_files(home)
    table, key = KeyTable.load(first), read_key(home / "worker.key")
    for spoil in (lambda: (home / "worker.key").write_text("rubbish"), lambda: (home / "worker.key").chmod(0o644)):
        spoil()
        table.reread()
        table.reread()
        assert _opens(table, key)
    assert "".join(capfd.readouterr()).count("key.unreadable") == 2
    (home / "worker.key").unlink()
    table.reread()
    assert not _opens(table, key)


def test_listing_tells_keys_apart_and_gives_none_away(home: Path) -> None:
    """Name, roles and a short id; neither it nor the table's entries print the key."""
    first = make_key_files(home)
    facts = list_keys(first)
    assert len({fact.id for fact in facts}) == 4
    shown = repr(facts) + repr(KeyTable.load(first)._entries)
    for fact in facts:
        key = read_key(fact.file)
        assert not [form for form in (key.hex(), repr(key)[2:-1], format_key(key)[9:40]) if form in shown]


def test_short_keys_are_refused() -> None:
    """Thirty-two bytes or nothing: a short key can be guessed from one handshake."""
    with pytest.raises(UsageError):
        KeyTable.of(b"secret")


def test_secrets_depend_on_all_that_was_said() -> None:
    """Another key, hello or certificate makes other proofs and keys; no two of a session are alike."""
    one = derive(b"k" * 32, b"hello")
    assert len(set(one)) == 4
    assert not set(one) & set(derive(b"k" * 32, b"hellp"))
    assert not set(one) & set(derive(b"l" * 32, b"hello"))


def test_remembered_master_is_found_with_its_key(home: Path) -> None:
    """What was joined last is the one to turn to; another remembered one is found by its name."""
    for name in ("a", "b"):
        save_key(home / f"{name}.key", new_key())
        remember(name, home / f"{name}.key")
    remember("a:7117", home / "a.key")
    assert [known.server for known in known_masters()] == ["a:7117", "b:7117"]
    assert find_master([], None) == (("a:7117",), read_key(home / "a.key"))
    assert find_master(["b"], None) == (("b:7117",), read_key(home / "b.key"))
    assert (home / "masters.json").stat().st_mode & 0o777 == 0o600


def test_what_was_said_wins_over_the_environment_and_that_over_memory(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A flag, then TASKGRID_*, then what was remembered."""
    for name in ("said", "env", "kept"):
        save_key(home / name, new_key())
    remember("kept", home / "kept")
    monkeypatch.setenv("TASKGRID_SERVER", "env1:1, env2")
    monkeypatch.setenv("TASKGRID_KEY_FILE", str(home / "env"))
    assert find_master([], None) == (("env1:1", "env2:7117"), read_key(home / "env"))
    assert find_master(["said"], home / "said") == (("said:7117",), read_key(home / "said"))


def test_unknown_master_and_missing_key_say_what_to_do(home: Path) -> None:
    """Both errors name the command that helps."""
    with pytest.raises(UsageError, match="taskgrid join HOST"):
        find_master([], None)
    with pytest.raises(UsageError, match="taskgrid join there:7117"):
        find_master(["there"], None)
    (home).mkdir(parents=True, exist_ok=True)
    (home / "masters.json").write_text("{")
    with pytest.raises(UsageError, match=r"masters\.json can't be read"):
        find_master([], None)


def test_own_key_opens_a_master_that_was_not_joined(home: Path) -> None:
    """On the master's own machine its key file lies where it looks."""
    first = make_key_files(home)
    assert find_master(["localhost"], None).key == read_key(first)
