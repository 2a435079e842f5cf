"""The verbs a person says, in one façade; the floor that owns the transactions."""

from kvault.vault.facade import Vault

__all__ = ["Vault"]
