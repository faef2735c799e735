"""The htpasswd file: who is in it, when it is looked at, and what a bad one does."""

import logging
import os
from dataclasses import dataclass
from pathlib import Path

import pytest

from auth.errors import AccountInvalid
from auth.htpasswd import HtpasswdFile

STORED = "$2y$04$" + "kDPlyAHky/oyg7ytcEh9d.NumTVsitxVQKKiK3Jdpa8i8lgD6cjjC"
OTHER = STORED.replace("kDPl", "kDPm")


@dataclass
class Clock:
    """A clock that stands until it is moved."""

    now: float = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "htpasswd"
    path.write_text(f"alice:{STORED}\n")
    return path


@pytest.mark.parametrize("content", ["", "\n# nobody yet\n", "bob:$apr1$x$y\ncarol:plain\n"])
def test_a_file_in_which_nobody_can_log_in_is_refused_at_the_start(file: Path, content: str) -> None:
    file.write_text(content)

    with pytest.raises(AccountInvalid) as refused:
        HtpasswdFile(file)

    assert str(file) in refused.value.message
    assert ("line 1: the password hash is MD5" in refused.value.message) == ("apr1" in content)
    assert "$apr1$x$y" not in refused.value.message


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(AccountInvalid, match="htpasswd cannot be read: No such file"):
        HtpasswdFile(tmp_path / "htpasswd")


def test_a_file_of_windows_and_spaces_around_a_line_are_read_as_distribution_reads_them(file: Path) -> None:
    file.write_bytes(f"  alice:{STORED}  \r\n\t# note\r\nbob:{OTHER}".encode())

    users = HtpasswdFile(file)

    assert (users.find("alice"), users.find("bob")) == (STORED, OTHER)
    assert not users.unusable()


def test_the_last_entry_of_a_name_counts_whichever_can_be_used(file: Path) -> None:
    file.write_text(f"alice:{STORED}\nbob:{STORED}\nbob:{{SHA}}x=\nalice:plain\nalice:{OTHER}\n")

    users = HtpasswdFile(file)

    assert users.find("alice") == OTHER
    assert users.find("bob") is None
    assert list(users.unusable()) == ["bob"]
    assert users.costs() == (4,)


def test_the_file_is_looked_at_once_a_second_however_often_it_is_asked(
    file: Path, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    users = HtpasswdFile(file, clock)
    looks = 0
    stat = Path.stat

    def counted(path: Path, *, follow_symlinks: bool = True) -> os.stat_result:
        nonlocal looks
        looks += path == file
        return stat(path, follow_symlinks=follow_symlinks)

    monkeypatch.setattr(Path, "stat", counted)
    for _ in range(3):
        clock.now += 1
        for _ in range(100):
            assert users.find("alice") == STORED

    assert looks == 3


def test_a_file_put_in_its_place_with_the_same_size_and_time_is_read(file: Path, clock: Clock) -> None:
    users = HtpasswdFile(file, clock)
    before = file.stat()
    new = file.with_name("new")
    new.write_text(f"alice:{OTHER}\n")
    os.utime(new, ns=(before.st_atime_ns, before.st_mtime_ns))
    new.replace(file)
    clock.now += 1

    assert users.find("alice") == OTHER


def test_a_bad_change_is_reported_once_and_the_next_good_one_counts(
    file: Path, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    users = HtpasswdFile(file, clock)
    file.write_text(f"alice:{OTHER}\nnonsense\n")
    for _ in range(5):
        clock.now += 1
        assert users.find("alice") == STORED
    errors = [record for record in caplog.records if record.levelno == logging.ERROR]
    assert len(errors) == 1
    assert f"{file}:2" in errors[0].getMessage()

    file.write_text(f"bob:{OTHER}\n")
    clock.now += 1
    assert (users.find("alice"), users.find("bob")) == (None, OTHER)


def test_who_is_taken_out_is_out_even_if_nobody_is_left(file: Path, clock: Clock) -> None:
    users = HtpasswdFile(file, clock)
    file.write_text("")
    clock.now += 1

    assert users.find("alice") is None
    assert users.costs() == ()
