-- For wrk: POST the file named first, of the content type named second; print every latency and how often it was seen.

function init(args)
   local file = assert(io.open(args[1], "rb"))
   wrk.method = "POST"
   wrk.body = file:read("*a")
   wrk.headers["Content-Type"] = args[2]
   file:close()
end

function done(summary, latency, requests)
   local errors = summary.errors
   print("failed " .. errors.status .. " " .. errors.connect + errors.read + errors.write + errors.timeout)
   for i = 1, #latency do
      local microseconds, times = latency(i)
      print("took " .. microseconds .. " " .. times)
   end
end
