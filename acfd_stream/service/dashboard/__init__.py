"""The status page and the metrics port: plain HTTP, read-only, over the registry of ``streams``.

| module | content |
|---|---|
| ``http_server`` | the port: page, data, previews, Prometheus metrics, ``/healthz`` |
| ``http_request`` | parses one request and collects its response; scrapes that requests share |
| ``http_connections`` | the connections of the port: their number, and the time that each may take |
| ``page_data`` | the data of the page as one JSON-able dict |
| ``diagnosis`` | one sentence: how slow, since when, at which stage, by which stream, and what helps |
| ``metric_samples`` | gauges and counters over the last minutes, sampled from the metrics |
| ``page/`` | HTML, CSS and JavaScript of the page; the base styles are those of the reports |

The page is static. Its script polls ``/streams.json`` every two seconds and draws the charts as SVG. The data is built
at most twice a second, for all viewers together. Only the selected stream is previewed, twice a second.

The port has no password. On a loopback address it answers only requests with a local Host header, so that a website
cannot read it through a browser on this machine. The headers forbid scripts, styles and images from elsewhere. Names
and errors come from clients; the script only ever sets them as text.

To add a figure: add it to ``page_data`` and show it in ``page/page.js``. To add a metric: add it to
``acfd_stream/metrics.py`` and to ``docs/metrics.md``; the port exports the whole registry.

This package may import ``streams`` of the service, ``metrics``, and the base styles of ``outputs``. Streams do not know
it: it reads their ``StreamMetrics`` from its own threads.
"""
