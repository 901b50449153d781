"""Jobs: videos that the service tracks in the background, kept over restarts, results to be fetched.

A call comes to ``servicer``, is remembered by ``store``, done by a worker of ``runner``, and lies in ``results``.
"""
