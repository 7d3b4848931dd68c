"""A report that anybody can open: one HTML file, no network, nothing to install.

The page is plain HTML that can be read as it is; the script inside it draws the maps, from the raw
evidence that is embedded beside each picture.
"""

from __future__ import annotations

from seewhy.report.page import write_report

__all__ = ["write_report"]
