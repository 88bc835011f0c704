"""A prompt and its possible completions."""
from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Sequence

from capp import _check


@dataclass(frozen=True, eq=False)
class Example:
    """A prompt with its own completions, for the functions whose names end in `_examples`. Examples with the same
    fields are equal. Examples can be keys of a dictionary.

    Parameters
    ----------
    prompt
        the text before the completions
    completions
        the possible completions; none may be empty
    prior
        a probability distribution over the completions; by default uniform. The example keeps a read-only copy
    end_of_prompt
        the text between prompt and completion: a space, or nothing
    normalize
        whether probabilities are divided by their sum. False: each completion is scored by itself, for example if
        several labels may be correct

    Raises
    ------
    TypeError
        if the prompt is not a string, or completions is a single string, is not ordered, or contains other objects
    ValueError
        if the prompt or a completion is empty, there are no completions, the prior is not a probability distribution, or
        there is only one completion with `normalize`

    Examples
    --------
    >>> from capp import Example
    >>> Example("The sky is", ["blue", "green"]).completions
    ('blue', 'green')
    >>> Example("The sky is", ["blue"])
    Traceback (most recent call last):
        ...
    ValueError: normalize needs at least two completions; set normalize=False to score a single one
    """

    prompt: str
    completions: Sequence[str]
    prior: Sequence[float] | None = None
    end_of_prompt: str = " "
    normalize: bool = True

    def __post_init__(self) -> None:
        _check.string(self.prompt, "prompt")
        object.__setattr__(self, "completions", tuple(_check.completions(self.completions)))
        _check.end_of_prompt(self.end_of_prompt)
        prior = _check.prior(self.prior, len(self.completions))
        if prior is not None:
            prior.setflags(write=False)
        object.__setattr__(self, "prior", prior)
        _check.normalize(self.normalize, self.completions)

    def _key(self) -> tuple[Any, ...]:
        """Returns the fields in a form that can be compared and hashed. (== of two arrays is an array.)"""
        return (self.prompt, self.completions, None if self.prior is None else tuple(self.prior), self.end_of_prompt,
                bool(self.normalize))

    def __eq__(self, other: object) -> bool:
        return self._key() == other._key() if isinstance(other, Example) and type(other) is type(self) else NotImplemented

    def __hash__(self) -> int:
        return hash(self._key())


_FIELDS = ("prompt", "completions", "prior", "end_of_prompt", "normalize")


def is_example(value: Any) -> bool:
    """Whether value is an Example, or another object with its fields, such as a cappr.Example."""
    return isinstance(value, Example) or (not isinstance(value, type) and all(hasattr(value, name) for name in _FIELDS))


def as_example(value: Any) -> Example:
    """Returns an Example with the same fields."""
    return value if isinstance(value, Example) else Example(*(getattr(value, name) for name in _FIELDS))
