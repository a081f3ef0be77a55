"""Somebody real for a pattern: a subject that the engine can be asked about, and how a pattern reads."""

from __future__ import annotations

import re
from collections.abc import Collection

from bridge.model.evidence import EvidenceKind
from bridge.model.identity import PolicySubject, Source
from bridge.model.spiffe_id import SCHEME, SpiffeId, TrustDomain
from bridge.policy.cells import Shape
from bridge.policy.pattern import Space


class MadeUp:
    """Makes up subjects of one space. A made-up token is none that `shapes` say, and stands nowhere in `texts`."""

    def __init__(self, source: Source, space: Space, shapes: Collection[Shape], texts: Collection[str] = ()) -> None:
        self._source, self._space = source, space
        said = [token for shape in shapes for token in shape.tokens if token is not None] + list(texts)
        stem = "any"
        while any(stem in text for text in said):
            stem += "x"
        self._stem = stem
        self._made_up = re.compile(rf"{stem}([0-9]+)-x")

    def subject(self, shape: Shape, evidence: EvidenceKind, actor: SpiffeId | None = None) -> PolicySubject:
        """A subject for whom that shape stands and, of all patterns told at first, only those that must."""
        tokens = self._tokens(shape)
        match self._source:
            case Source.SPIFFE:
                return PolicySubject(self._source, evidence, spiffe_id=self.spiffe_id(shape))
            case Source.METADATA_DOCUMENT:
                return PolicySubject(self._source, evidence, spiffe_id=actor, url=_url(self._space, tokens))
            case Source.SOFTWARE_STATEMENT:
                return PolicySubject(self._source, evidence, issuer=tokens[0], subject=tokens[1])
            case Source.PUSHED:
                return PolicySubject(self._source, evidence)

    def spiffe_id(self, shape: Shape) -> SpiffeId:
        """As `subject`, for workloads. Not checked: its length, for nobody has to carry it."""
        return SpiffeId(TrustDomain(str(self._space)), "".join(f"/{token}" for token in self._tokens(shape)))

    def spelled(self, text: str) -> str:
        """A text that a made-up subject got, with words for what was made up."""
        return self._made_up.sub(lambda found: self._place(int(found[1])), text)

    def _tokens(self, shape: Shape) -> tuple[str, ...]:
        wanted = (*shape.tokens, None) if shape.tail else shape.tokens
        # It ends in a letter, and differs from place to place: as a host label it is one like others.
        return tuple(f"{self._stem}{n}-x" if token is None else token for n, token in enumerate(wanted))

    def _place(self, place: int) -> str:
        labels = self._space[1] if isinstance(self._space, tuple) else 0
        if place < labels:
            return f"{{host label {labels - place}}}"
        return f"{{path segment {place - labels + 1}}}"


def _url(space: Space, tokens: tuple[str, ...]) -> str:
    assert isinstance(space, tuple), "the space of a document is its port and the number of its host labels"
    port, labels = space
    host = ".".join(reversed(tokens[:labels])) + ("" if port == "443" else f":{port}")
    return f"https://{host}/" + "/".join(tokens[labels:])


def spelled_shape(source: Source, space: Space, shape: Shape) -> str:
    """A shape as it reads outside its file: with its trust domain, or as a URL."""
    tokens = tuple("*" if token is None else token for token in shape.tokens) + (("**",) if shape.tail else ())
    match source:
        case Source.SPIFFE:
            return f"{SCHEME}{space}" + "".join(f"/{token}" for token in tokens)
        case Source.METADATA_DOCUMENT:
            return _url(space, tokens)
        case Source.SOFTWARE_STATEMENT:
            return " ".join(tokens)
        case Source.PUSHED:
            return source.value
