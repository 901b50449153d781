"""Clients of the service, sync and asyncio: streams, single pictures, jobs, and a load test. Loads no server code."""
