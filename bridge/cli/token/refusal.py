"""What a token endpoint's refusal means for whoever asked, and what to do about it."""

from __future__ import annotations

from collections.abc import Iterator

from bridge.cli.options import Failure
from bridge.cli.output import printable
from bridge.cli.token.endpoint import Answer, NotNow, seconds_of


def refusal_of(answer: Answer, scope: str | None) -> Failure:
    """The refusal in words. One that says when to come again is `NotNow`. `scope`: what was asked."""
    body, headers = answer.body, answer.headers
    error_id = printable(body.get("error_id") or headers.get("x-request-id"))
    words = f"refused ({answer.status} {printable(body.get('error'))}): {printable(body.get('error_description'))}\n"
    if answer.status >= 500:
        # The service could not decide: this need not be in its audit log.
        words += (
            f"error_id {error_id}; it is not about this workload. On the server, with the log of `bridge serve`: "
            f"`bridge doctor {error_id} --log FILE`, and what is wrong altogether: `bridge check`"
        )
    else:
        words += (
            f"error_id {error_id}; the reason is in the server's log and audit: `bridge audit show {error_id}`; "
            f"what to change says `bridge doctor {error_id} --log FILE`"
        )
    retry = headers.get("retry-after")
    words += f"\ntry again in {printable(retry)} s" if retry else ""
    words += "".join(f"\n{hint}" for hint in _hints(answer, scope))
    return NotNow(words, after=seconds_of(retry)) if retry else Failure(words)


def _hints(answer: Answer, scope: str | None) -> Iterator[str]:
    """What this command can do about a refusal, or somebody else."""
    words = str(answer.body.get("error_description"))
    if answer.status == 400 and "DPoP proof" in words:
        yield "--dpop FILE sends one, with the key in FILE, which is made if absent"
    if answer.status == 403:
        yield "an operator has to approve this client: `bridge clients list --pending`"
    # A comma may be part of a scope's name, so that it is no wrong usage.
    if scope and "," in scope:
        yield "scopes are separated by blanks, not by commas: --scope 'a b'"
