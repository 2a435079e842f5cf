"""Version control for what a language model knows."""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from kvault.vault import Vault

__version__ = "0.1.0"
__all__ = ["Vault", "__version__"]


def __getattr__(name: str) -> Any:
    """Load the façade on first use, so that `import kvault` stays free of the database and of torch."""
    if name == "Vault":
        return importlib.import_module("kvault.vault").Vault
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
