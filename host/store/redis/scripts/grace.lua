-- A lease anew for every worker: nobody could renew while the host, or this server, was away.
local least = now() + tonumber(ARGV[3])
for _, worker in ipairs(call('ZRANGE', prefix .. 'leases', 0, -1)) do
    call('ZADD', prefix .. 'leases', 'GT', least, worker)
end
return 0
