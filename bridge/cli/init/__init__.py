"""`bridge init`: the first configuration and policies, and what SPIRE has to be told."""
