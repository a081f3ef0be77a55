"""What a person sees, in a real Chromium without a window (`make test-browser`)."""
