"""The index: from a subject to the rules that name it, whatever the number of rules.

One trie of tokens per space; literal children in a dict, one child for `*`, and lists for what ends
here or goes on with `**`. A look-up walks the subject's own tokens, so ten thousand other rules cost
it nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from bridge.model.identity import PolicySubject, Source
from bridge.policy.pattern import Address, Pattern, Space, Token, address_of, spiffe_address
from bridge.policy.rule import Rule

# Sorts heaviest first, then by id: the order in which decisions look at rules. The third member keeps
# two patterns of one rule apart, so that a comparison never gets as far as the rule.
Entry = tuple[int, str, int, Rule]


# Most nodes are leaves. Sharing what they do not have keeps ten thousand rules light to make and to keep.
_NO_CHILDREN: dict[str, _Node] = {}
_NO_ENTRIES: list[Entry] = []


class _Node:
    __slots__ = ("ends", "literals", "star", "tails")

    def __init__(self) -> None:
        self.literals = _NO_CHILDREN
        self.star: _Node | None = None
        self.ends = _NO_ENTRIES
        self.tails = _NO_ENTRIES

    def child(self, token: Token) -> _Node:
        """The node behind a token, made now if there is none."""
        if token is None:
            if self.star is None:
                self.star = _Node()
            return self.star
        following = self.literals.get(token)
        if following is None:
            if self.literals is _NO_CHILDREN:
                self.literals = {}
            following = self.literals[token] = _Node()
        return following

    def children(self, token: Token) -> list[_Node]:
        """The nodes behind whatever a token of a pattern may stand for."""
        literals = list(self.literals.values()) if token is None else [self.literals.get(token)]
        return [node for node in (*literals, self.star) if node is not None]

    def below(self) -> list[Entry]:
        """The entries of all patterns that go on from here by one token or more."""
        found, nodes = list(self.tails), self.children(None)
        while nodes:
            node = nodes.pop()
            found += node.tails + node.ends
            nodes += node.children(None)
        return found


class Trie:
    """Patterns of one space by their tokens."""

    __slots__ = ("_root",)

    def __init__(self) -> None:
        self._root = _Node()

    def add(self, pattern: Pattern, entry: Entry) -> None:
        """Put an entry where its pattern leads."""
        node = self._root
        for token in pattern.tokens:
            node = node.child(token)
        if pattern.tail:
            node.tails = node.tails or []
            node.tails.append(entry)
        else:
            node.ends = node.ends or []
            node.ends.append(entry)

    def matching(self, tokens: tuple[str, ...]) -> list[Entry]:
        """The entries of all patterns that match these tokens, in no order."""
        found: list[Entry] = []
        nodes = [self._root]
        for depth, token in enumerate(tokens):
            following = []
            for node in nodes:
                # `**` never stands for an empty segment, which only a URL can have.
                if node.tails and "" not in tokens[depth:]:
                    found += node.tails
                child = node.literals.get(token)
                if child is not None:
                    following.append(child)
                if node.star is not None and token:
                    following.append(node.star)
            if not following:
                return found
            nodes = following
        for node in nodes:
            found += node.ends
        return found

    def subsuming(self, tokens: Sequence[Token], *, tail: bool) -> list[Entry]:
        """The entries of all patterns that match whatever this pattern matches (itself among them)."""
        found: list[Entry] = []
        nodes = [self._root]
        for token in tokens:
            following = []
            for node in nodes:
                found += node.tails
                child = node.literals.get(token) if token is not None else None
                if child is not None:
                    following.append(child)
                if node.star is not None:
                    following.append(node.star)
            nodes = following
        for node in nodes:
            found += node.tails if tail else node.ends
        return found

    def overlapping(self, tokens: Sequence[Token], *, tail: bool) -> list[Entry]:
        """The entries of all patterns that have anything in common with this pattern."""
        found: list[Entry] = []
        nodes = [self._root]
        for token in tokens:
            following = []
            for node in nodes:
                found += node.tails
                following += node.children(token)
            nodes = following
        for node in nodes:
            found += node.below() if tail else node.ends
        return found


class Index:
    """All rules of a policy by source and space."""

    def __init__(self, rules: Iterable[Rule]) -> None:
        self._tries: dict[Source, dict[Space, Trie]] = {source: {} for source in Source}
        for rule in rules:
            spaces = self._tries[rule.source]
            for number, pattern in enumerate(rule.patterns):
                trie = spaces.get(pattern.space)
                if trie is None:
                    trie = spaces[pattern.space] = Trie()
                trie.add(pattern, (-pattern.weight, rule.id, number, rule))

    def naming(self, subject: PolicySubject) -> list[Entry]:
        """The entries that name the subject, heaviest first, then by rule id.

        A rule with several matching patterns is there several times, with its heaviest first. Beside
        the rules of the subject's source: the denies of the trust domain whose SPIFFE ID acts for a
        document, because those follow the SPIFFE ID (interface section 3).
        """
        address = address_of(subject)
        found = self._at(subject.source, address) if address is not None else []
        if subject.source is Source.METADATA_DOCUMENT and subject.spiffe_id is not None:
            acting = self._at(Source.SPIFFE, spiffe_address(subject.spiffe_id))
            found = found + [entry for entry in acting if entry[3].denial is not None]
        if len(found) > 1:
            found.sort()
        return found

    def has_rules_for(self, trust_domain: str) -> bool:
        """Whether any rule is about workloads of this trust domain."""
        return trust_domain in self._tries[Source.SPIFFE]

    def _at(self, source: Source, address: Address) -> list[Entry]:
        trie = self._tries[source].get(address.space)
        return trie.matching(address.tokens) if trie is not None else []
