"""`schema.json`: the grammar of all policy files for editors, generated from the documents.

`python -m bridge.policy.schema > policies/schema.json` writes it; a test compares.
"""

from __future__ import annotations

import json
import sys

from pydantic import TypeAdapter

from bridge.policy.document import CaseFile, CatalogueFile, DocumentFile, PushedFile, SpiffeFile, StatementFile

AnyFile = SpiffeFile | DocumentFile | StatementFile | PushedFile | CatalogueFile | CaseFile


def schema_text() -> str:
    """The schema as it stands in the file."""
    adapter: TypeAdapter[AnyFile] = TypeAdapter(AnyFile)
    schema = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Policy files: rules of one source, the catalogue, or cases",
        **adapter.json_schema(),
    }
    return json.dumps(schema, indent=2, sort_keys=True) + "\n"


if __name__ == "__main__":
    sys.stdout.write(schema_text())
