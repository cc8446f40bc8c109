-- For wrk: the lines of a file as bodies, in turn, from the given one on; ID in them becomes new at
-- every request. A third argument is how long each connection waits before it asks again, in ms.
-- Prints what was measured as one line of JSON: requests, seconds, p50 and p99 (ms), errors.

local bodies, at, run, pause = {}, 0, os.time(), 0
wrk.method = "POST"

function init(arguments)
  for line in io.lines(arguments[1]) do bodies[#bodies + 1] = line end
  at = tonumber(arguments[2])
  pause = tonumber(arguments[3])
end

function delay()
  return pause
end

function request()
  at = at + 1
  local body = bodies[(at - 1) % #bodies + 1]:gsub("ID", run .. "-" .. at, 1)
  return wrk.format(nil, nil, nil, body)
end

function done(summary, latency)
  local errors = summary.errors
  io.write(string.format(
    '{"requests": %d, "seconds": %f, "p50": %f, "p99": %f, "errors": %d}\n',
    summary.requests, summary.duration / 1e6,
    latency:percentile(50) / 1e3, latency:percentile(99) / 1e3,
    errors.connect + errors.read + errors.write + errors.status + errors.timeout))
end
