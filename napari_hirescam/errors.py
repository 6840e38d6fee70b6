"""The errors a user can act on, shared by every room.

None of them derives from ``RuntimeError``: superqt's generator workers swallow that
type without emitting ``errored`` or ``finished``, and the window would stay busy for ever.
"""

from __future__ import annotations

from pathlib import Path


class HirescamError(Exception):
    """Something went wrong that the user can mend.

    Parameters
    ----------
    subject
        The file, layer or setting at fault.
    reason
        What is wrong with it, as a clause without a full stop.
    remedy
        What the user can do about it, as a clause without a full stop.
    """

    def __init__(self, subject: str | Path, reason: str, remedy: str) -> None:
        self.subject = str(subject)
        self.reason = reason
        self.remedy = remedy
        super().__init__(f"{subject}: {reason}. {remedy}.")

    def __reduce__(self) -> tuple[type[HirescamError], tuple[str, str, str]]:
        # Exception's own pickling would call us with the one joined message.
        return type(self), (self.subject, self.reason, self.remedy)


class VolumeError(HirescamError):
    """A file cannot be read as a CT volume, or a volume cannot be written."""


class ModelFileError(HirescamError):
    """A model folder or one of its files is missing, damaged or inconsistent."""


class UntrustedModelError(ModelFileError):
    """A model brings its own code, and nobody has agreed to run it."""


class InputError(HirescamError):
    """A readable volume does not fit what the model needs."""


class OrganError(HirescamError):
    """Organ regions cannot be made or trusted, or a mask lacks an organ that is asked for."""


class CaseTableError(HirescamError):
    """A table of cases, or one of its cases, cannot be used: the message names the row."""


class SettingsError(HirescamError):
    """A configuration, or an option of a command, cannot be carried out."""


class ReviewError(HirescamError):
    """A review's file cannot be used or written, or an answer does not fit its form."""


class AttributionError(HirescamError):
    """Scoring or explaining failed while it ran (out of memory, NaN scores, ...)."""


class Cancelled(Exception):  # noqa: N818 - a request that was honoured, not a fault
    """Raised inside a computation whose caller asked it to stop."""
