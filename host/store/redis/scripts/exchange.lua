#!lua flags=allow-oom
-- Puts down what a host has seen; returns {age in seconds, what it said} of each other host.
local host, said, keep_s = ARGV[3], ARGV[4], tonumber(ARGV[5])
local time, hosts, found = now(), prefix .. 'hosts', {}
call('SET', key('host', host), said, 'EX', keep_s)
call('ZADD', hosts, time, host)
call('ZREMRANGEBYSCORE', hosts, '-inf', time - keep_s)
for _, other in ipairs(call('ZRANGE', hosts, 0, -1)) do
    local heard = other ~= host and call('GET', key('host', other))
    if heard then
        found[#found + 1] = stamp(time - tonumber(call('ZSCORE', hosts, other)))
        found[#found + 1] = heard
    end
end
return found
