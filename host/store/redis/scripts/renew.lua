#!lua flags=allow-oom
-- A worker's commands are its own for so many seconds from now on.
return call('ZADD', prefix .. 'leases', now() + tonumber(ARGV[4]), ARGV[3])
