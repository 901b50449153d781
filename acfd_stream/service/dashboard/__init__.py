"""The operator's page and its data, over HTTP."""
