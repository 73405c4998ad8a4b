#!lua flags=allow-oom
-- A worker's commands are its own for so many seconds from now on.
return call('ZADD', prefix .. 'leases', steady() + tonumber(ARGV[4]), ARGV[3])
