"""Streams over gRPC: bytes or frames in, tracks out, every frame with its times and a verdict.

A request's thread yields answers straight out of its TrackSession, a feeder thread reads what the client sends, and
all streams share one engine. Imported by the command line when it serves or calls, and by nothing else.
"""
