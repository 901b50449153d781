"""Jobs: videos that the service tracks in the background. They survive restarts, and clients fetch their results.

``servicer`` takes the calls, ``store`` remembers the jobs, ``runner`` has workers that record them (``job_recording``),
and ``results`` has their lines.
"""
