#!lua flags=allow-oom
-- A worker's commands are its own for so many seconds from now on, by its signs of life at `host`.
local worker, lease_s, host = unpack(ARGV, 3, 5)
call('HSET', prefix .. 'renewers', worker, host)
return call('ZADD', prefix .. 'leases', steady() + tonumber(lease_s), worker)
