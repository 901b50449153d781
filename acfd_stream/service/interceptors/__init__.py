"""What happens around every call: time limits, malformed requests, metrics, log."""
