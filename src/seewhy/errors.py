"""The errors that seewhy raises, all of them: one tree, one line each.

Every message says what was expected, what came instead, and what to do about it, in this order and
in one line, so that it reads the same in a traceback, on the command line and in a log.
"""

from __future__ import annotations


class SeewhyError(Exception):
    """The root of the tree; catch it to catch everything that seewhy raises on purpose.

    Args:
        subject: what the message is about: a path, an argument's name, a model.
        expected: what was expected there.
        got: what came instead.
        fix: what the user can do, as an imperative clause.
    """

    def __init__(self, subject: str, *, expected: str, got: str, fix: str) -> None:
        self.subject, self.expected, self.got, self.fix = subject, expected, got, fix
        line = f"{subject}: expected {expected}, got {got}; {fix}"
        super().__init__(" ".join(line.split()))

    def __reduce__(self) -> tuple[object, ...]:
        """Pickle by keyword, so that an error crosses a process boundary whole."""
        parts = type(self), self.subject, self.expected, self.got, self.fix
        return _rebuild, parts, self.__dict__


class InputError(SeewhyError, ValueError):
    """Something that the caller passed cannot be used."""


class ImageError(InputError):
    """A picture that cannot be read or prepared."""


class ClassError(InputError):
    """A class that the model does not have."""


class FileError(SeewhyError, OSError):
    """A file that cannot be read or written: missing, damaged, full disk, no permission."""


class DataError(InputError):
    """A data set that cannot be used: empty, of one class, or with labels that fit no model."""


class TrainingError(SeewhyError):
    """Training that cannot go on: a loss that is not finite, a run that was begun differently."""


class AuditError(SeewhyError):
    """An audit that cannot be begun, gone on with or read: another one's, another version's."""


class ModelError(SeewhyError):
    """A model that cannot be loaded or run."""


class MissingExtraError(ModelError, ImportError):
    """A package that seewhy needs for this model only, and that is not installed."""


class WeightsError(ModelError):
    """A weights file that does not fit the model."""


class HeadNotFound(ModelError):  # noqa: N818 -- named for what happened, as FileNotFoundError is
    """No head was found whose evidence maps add up to the logits.

    Attributes:
        tried: the kinds of head that were looked for, each with the reason why there is none,
            such as `linear: its head uses max pooling (amax)`. One walk back from the logits
            looks for all of them, so that they share the reason.
    """

    tried: tuple[str, ...] = ()


class GraftError(ModelError):
    """A model file that maps cannot be grafted on; the message names why."""


class CertificateError(SeewhyError, ArithmeticError):
    """Evidence that does not add up to the logit it was meant to explain."""


def _rebuild(kind: type[SeewhyError], subject: str, expected: str, got: str, fix: str) -> object:
    return kind(subject, expected=expected, got=got, fix=fix)
