#!lua flags=allow-oom
-- The answer to a question, once.
return call('GETDEL', key('answer', ARGV[3]))
