"""People are added by the command, and at least one admin stays."""

import pytest
from sqlalchemy import select

from desk import people
from desk.people import PersonError
from desk.tables import Person
from tests.tools import run_main


@pytest.mark.parametrize(("name", "role", "message"), [
    ("ana", "analyst", "is there already"), ("", "analyst", "give 1 to 64"),
    ("a" * 65, "analyst", "give 1 to 64"), ("a\nb", "analyst", "give 1 to 64"),
    ("ben", "owner", "choose analyst, lead, admin")])
def test_a_person_that_cannot_be_added_is_an_error(database, ana, name, role, message):
    with pytest.raises(PersonError, match=message), database.writing() as session:
        people.add(session, name, role, "test")


def test_only_the_right_password_of_an_enabled_person_counts(database, ana):
    with database.writing() as session:
        person = people.by_name(session, "ana")
        password = people.new_password(session, person, "test")
        assert people.authenticated(session, "ana", password) is person
        assert people.authenticated(session, "ana", password + "x") is None
        assert people.authenticated(session, "nobody", password) is None
        person.disabled_at = 1
        assert people.authenticated(session, "ana", password) is None


@pytest.mark.parametrize("change", [{"role": "lead"}, {"disabled": True}])
def test_the_last_admin_stays(database, ana, change):
    with database.writing() as session:
        people.add(session, "root", "admin", "test")
    with pytest.raises(PersonError, match="only admin"), database.writing() as session:
        people.change(session, people.by_name(session, "root"), "test", **change)
    with database.reading() as session:
        root = people.by_name(session, "root")
        assert (root.role, root.disabled_at) == ("admin", None)


def test_the_command(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("FRAUD_DESK_DATABASE", f"sqlite:///{tmp_path}/desk.db")
    added = run_main(capsys, people.main, "add", "ana", "--role", "admin")
    assert added.out.startswith("ana signs in with the password ")
    assert run_main(capsys, people.main, "list").out.split() == ["ana", "admin"]
    assert run_main(capsys, people.main, "disable", "nobody").err.startswith(
        "error: there is no 'nobody'")
    assert run_main(capsys, people.main, "password").code == 2


def test_passwords_are_kept_as_argon2id(database, ana):
    with database.reading() as session:
        assert session.scalar(select(Person.password_hash)).startswith("$argon2id$")
