#!lua flags=allow-oom
-- The workers that hold commands and whose lease has run out. Every host asks for them every second:
-- where nobody has for `away_s`, nobody could renew a lease either, and all have theirs anew.
local away_s, first_lease_s = tonumber(ARGV[3]), tonumber(ARGV[4])
local leases, time, found = prefix .. 'leases', now(), {}
local swept = call('GET', prefix .. 'swept')
if not swept or math.abs(time - tonumber(swept)) > away_s then
    for _, worker in ipairs(call('ZRANGE', leases, 0, -1)) do
        call('ZADD', leases, 'GT', time + first_lease_s, worker)
    end
end
call('SET', prefix .. 'swept', stamp(time))
for _, worker in ipairs(call('ZRANGEBYSCORE', leases, '-inf', time)) do
    if call('SCARD', key('held', worker)) > 0 then
        found[#found + 1] = worker
    else
        call('ZREM', leases, worker)
    end
end
return found
