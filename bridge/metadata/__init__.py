"""L0: client metadata (RFC 7591 section 2): from what came over a wire to `ClientMetadata`, or a clear refusal."""
