#!lua flags=allow-oom
-- Takes so many messages out of a mailbox.
return call('LPOP', key('mail', ARGV[3]), ARGV[4]) or {}
