"""L0: what each reason of a refusal means, and the one thing to do about it. Frozen tables, the model's words only."""
