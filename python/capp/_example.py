"""One prompt and what may follow it."""
from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Sequence

from capp import _check


@dataclass(frozen=True, eq=False)
class Example:
    """A prompt with completions of its own, for the functions whose names end in `_examples`. Examples with the same
    fields are equal, and keys of a dictionary.

    Parameters
    ----------
    prompt
        the text that the completions may follow
    completions
        what may follow, each not empty
    prior
        a probability distribution over the completions; by default each is as likely. It is kept as an array of its own,
        which cannot be written to
    end_of_prompt
        what joins prompt and completion: a space, or nothing
    normalize
        whether probabilities are divided by their sum. False: each completion is judged by itself, as where several
        labels may be right

    Raises
    ------
    TypeError
        for a prompt that is no text, completions that are one text, no texts or have no order
    ValueError
        for an empty prompt, no or empty completions, a prior that is none, one completion with `normalize`

    Examples
    --------
    >>> from capp import Example
    >>> Example("The sky is", ["blue", "green"]).completions
    ('blue', 'green')
    >>> Example("The sky is", ["blue"])
    Traceback (most recent call last):
        ...
    ValueError: one completion alone has probability 1; give more completions, or set normalize=False
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
        """The fields as what can be compared and hashed: of arrays, == is an array."""
        return (self.prompt, self.completions, None if self.prior is None else tuple(self.prior), self.end_of_prompt,
                bool(self.normalize))

    def __eq__(self, other: object) -> bool:
        return self._key() == other._key() if isinstance(other, Example) and type(other) is type(self) else NotImplemented

    def __hash__(self) -> int:
        return hash(self._key())
