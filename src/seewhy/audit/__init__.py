"""Audits: every picture of a data set explained, and kept where questions can be asked."""

from seewhy.audit.opened import Audit, open_audit

__all__ = ["Audit", "open_audit"]
