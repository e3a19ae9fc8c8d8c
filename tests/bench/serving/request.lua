-- The request of one cell, and a last line of JSON with what came of it.
wrk.method = "POST"
wrk.headers["content-type"] = "application/json"
wrk.headers["x-serin-cohort"] = "bench-2.1.a"
local file = io.open(os.getenv("BENCH_BODY"), "rb")
wrk.body = file:read("*all")
file:close()

function done(summary, latency)
  local failed = summary.errors.connect + summary.errors.read + summary.errors.write
    + summary.errors.status + summary.errors.timeout
  io.write(string.format(
    '\n{"requests": %d, "seconds": %.6f, "failed": %d, "p50_ms": %.4f, "p99_ms": %.4f}\n',
    summary.requests, summary.duration / 1e6, failed,
    latency:percentile(50) / 1000, latency:percentile(99) / 1000))
end
