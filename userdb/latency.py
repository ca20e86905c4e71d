"""The fixed latency histogram of request_minute."""

#: Upper bounds of the buckets in milliseconds; the last bucket is unbounded.
LATENCY_BOUNDS_MS = (5, 10, 25, 50, 100, 250, 500, 1000, 2500, 5000, 10000, 30000, 60000)
#: Columns of request_minute, one a bucket, not cumulative.
LATENCY_COLUMNS = (*(f"le_{bound}" for bound in LATENCY_BOUNDS_MS), "le_inf")
