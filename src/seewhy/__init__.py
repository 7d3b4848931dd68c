"""seewhy: why an image classifier decided, exactly, on every image."""

from seewhy._version import __version__

__all__ = ["__version__"]
