"""What is left of a grant: never more than was given, never more than policy would give now (OAS-16, PCR-21).

Policy is asked anew at every use of a grant (interface section 3). What a request names it gets or is refused; what
it does not name it gets as far as it is still there.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from bridge.model.errors import ScopeNotAllowed, TargetNotAllowed
from bridge.model.reasons import Reason
from bridge.model.terms import Ask

Covers = Callable[[Ask], bool]


def narrow(given: Ask, asked: Ask, covers: Covers) -> Ask:
    """The ask to decide for a request that names `asked` of what was `given`. Nothing named means all of it.

    `covers` says whether one rule covers an ask now. Where not all is left, the result is the part that one rule
    covers: terms of several are never added up. Where a named scope or resource is gone, or nothing is left, it is
    an ask that policy refuses, and the words of the refusal are policy's.
    Raises: TargetNotAllowed, ScopeNotAllowed for what was never given, a resource before a scope.
    """
    if not set(asked.resources) <= set(given.resources):
        raise TargetNotAllowed(Reason.POLICY_RESOURCE, "a resource that the user did not agree to")
    if not set(asked.scopes) <= set(given.scopes):
        raise ScopeNotAllowed(Reason.POLICY_SCOPE, "a scope that the user did not agree to")
    whole = replace(asked, scopes=asked.scopes or given.scopes, resources=asked.resources or given.resources)
    if asked.scopes and asked.resources:
        return whole
    # Scopes that are named alone mean their own resources, and no other that was given beside them.
    is_partial = bool(asked.scopes) and len(whole.resources) > 1
    if not is_partial and covers(whole):
        return whole
    left = _left(whole, covers)
    if asked.scopes and set(left.scopes) != set(asked.scopes):
        return replace(whole, resources=left.resources or whole.resources)
    if not left.scopes or (asked.resources and set(left.resources) != set(asked.resources)):
        return whole
    return left


def _left(whole: Ask, covers: Covers) -> Ask:
    """The greatest part that grows scope by scope and stays under one rule. A scope belongs to one resource, and
    a resource of which no scope is left is no audience."""
    left = replace(whole, scopes=(), resources=())
    for resource in whole.resources:
        for scope in whole.scopes:
            if scope in left.scopes or not covers(replace(whole, scopes=(scope,), resources=(resource,))):
                continue
            resources = tuple(dict.fromkeys((*left.resources, resource)))
            grown = replace(whole, scopes=(*left.scopes, scope), resources=resources)
            if covers(grown):
                left = grown
    return left
