-- 20,000 clients take turns behind one proxy; what was measured is printed as one line of JSON.
local requests = {}
local turn = 0

function init(args)
  for n = 0, 19999 do
    wrk.headers["X-Forwarded-For"] = "10." .. math.floor(n / 250) .. ".1." .. (n % 250 + 1)
    requests[n] = wrk.format("GET", "/api/ping")
  end
end

function request()
  turn = (turn + 1) % 20000
  return requests[turn]
end

function done(summary, latency, _)
  local failed = summary.errors.status + summary.errors.connect + summary.errors.timeout
  io.write(string.format(
    '{"requests": %d, "seconds": %.6f, "failed": %d, "p50_ms": %.3f, "p99_ms": %.3f}\n',
    summary.requests, summary.duration / 1e6, failed,
    latency:percentile(50) / 1000, latency:percentile(99) / 1000))
end
