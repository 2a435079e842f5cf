"""What doctor looks at: a sound vault, objects that are gone, and brokers that answer or do not."""

from __future__ import annotations

import shutil
import time
from dataclasses import replace
from pathlib import Path

import pytest

from kvault.vault import Vault, views
from tests.brokers import BROKERS, NoServer


@pytest.fixture
def vault(tmp_path: Path) -> Vault:
    """A vault with its first commit."""
    return Vault.init(tmp_path / "vault", actor="tester")


def look(vault: Vault, name: str) -> views.DoctorRow:
    """One row of doctor's."""
    [row] = [row for row in vault.doctor() if row.name == name]
    return row


def over(vault: Vault, broker: str) -> Vault:
    """The same vault with a broker."""
    return Vault(replace(vault.here, settings=replace(vault.settings, broker=broker)))


def test_a_sound_vault_is_fine(vault: Vault) -> None:
    assert all(row.fine for row in vault.doctor())
    assert look(vault, "queue").message == "embedded"


def test_a_missing_objects_folder_is_told(vault: Vault) -> None:
    shutil.rmtree(vault.settings.folder / "objects")
    row = look(vault, "objects")
    assert not row.fine
    assert str(vault.settings.folder / "objects") in row.message
    assert "`objects` setting" in row.remedy


def test_a_missing_object_of_the_current_version_is_told(vault: Vault) -> None:
    vault.here.store.put(b"something else")
    tree = vault.show().tree
    (vault.settings.folder / "objects" / tree[:2] / tree[2:]).unlink()
    row = look(vault, "objects")
    assert not row.fine
    assert "kvault fsck" in row.remedy


@pytest.mark.parametrize("name", sorted(BROKERS))
def test_a_broker_that_answers_is_fine(vault: Vault, name: str) -> None:
    try:
        url = BROKERS[name]()
    except NoServer as reason:
        pytest.skip(str(reason))
    row = look(over(vault, url), "queue")
    assert (row.fine, row.remedy) == (True, "")
    assert row.message.startswith("Celery over ")
    assert "guest:guest" not in row.message


@pytest.mark.parametrize("url", ["redis://:secret@127.0.0.1:1/0", "amqp://guest:secret@127.0.0.1:1//"])
def test_a_broker_that_is_away_is_told_soon(vault: Vault, url: str) -> None:
    begun = time.monotonic()
    row = look(over(vault, url), "queue")
    assert not row.fine
    assert "does not answer" in row.message
    assert "secret" not in row.message
    assert "KVAULT_BROKER" in row.remedy
    assert time.monotonic() - begun < 30


def test_a_broker_of_an_unknown_kind_is_told(vault: Vault) -> None:
    row = look(over(vault, "carrier-pigeon://roof"), "queue")
    assert not row.fine
    assert "redis://" in row.remedy
