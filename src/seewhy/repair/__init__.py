"""A network that decides for the wrong reason, made to decide without it, with an account of that.

`material.py` is what repairs are made from and measured on, `project.py`, `head.py` and
`finetune.py` are three ways to repair, `account.py` says what came of it, `make.py` tries them.
"""

from __future__ import annotations
