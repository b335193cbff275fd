-- For wrk: POST the file named first, of the content type named second; print what was answered, and how long it took.

function init(args)
   local file = assert(io.open(args[1], "rb"))
   wrk.method = "POST"
   wrk.body = file:read("*a")
   wrk.headers["Content-Type"] = args[2]
   file:close()
end

function done(summary, latency, requests)
   local errors = summary.errors
   print("answers " .. summary.requests .. " " .. errors.status)
   print("broken " .. errors.connect + errors.read + errors.write + errors.timeout)
   print("seconds " .. summary.duration / 1e6)
   for i = 1, #latency do
      local microseconds, times = latency(i)
      print("took " .. microseconds .. " " .. times)
   end
end
