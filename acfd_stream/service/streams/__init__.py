"""The track streams: admission, requests in, results out, and the registry that the dashboard reads."""
